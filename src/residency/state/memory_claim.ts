/** Sums over the claims on a device. The claims keep them current. */
export interface ClaimTotals {
  claimedBytes: number;
  allocatedBytes: number;
  /** Claims whose memory is being allocated or freed at this moment. */
  inFlight: number;
  /** Grows each time a claim begins or ends to be in flight. */
  transitions: number;
}

/**
 * Bytes of a device that one commit holds, from its admission until the memory belongs to the device again. Each shard has one,
 * so it has no closures.
 */
export class MemoryClaim {
  readonly #totals: ClaimTotals;
  /** The driver's part of the claim: the bytes that its figures include once it is allocated. */
  readonly #allocationBytes: number;
  #bytes: number;
  #isAllocated = false;

  /** The memory is being allocated from now on. */
  constructor(totals: ClaimTotals, bytes: number, allocationBytes: number) {
    this.#totals = totals;
    this.#bytes = bytes;
    this.#allocationBytes = allocationBytes;
    totals.claimedBytes += bytes;
    totals.inFlight++;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The driver allocated the memory. */
  markAllocated(): void {
    this.#setAllocated(true);
  }

  /** The driver is about to free the memory. */
  markReleasing(): void {
    this.#setAllocated(false);
  }

  /** Keeps only what the driver allocated. Called once the shard is sealed. */
  trim(): void {
    this.#totals.claimedBytes -= this.#bytes - this.#allocationBytes;
    this.#bytes = this.#allocationBytes;
  }

  /** Ends the claim. Idempotent. */
  release(): void {
    if (this.#bytes === 0) return;
    this.#setAllocated(false);
    this.#totals.transitions++;
    this.#totals.inFlight--;
    this.#totals.claimedBytes -= this.#bytes;
    this.#bytes = 0;
  }

  #setAllocated(isAllocated: boolean): void {
    if (this.#isAllocated === isAllocated) return;
    this.#isAllocated = isAllocated;
    this.#totals.transitions++;
    this.#totals.inFlight += isAllocated ? -1 : 1;
    this.#totals.allocatedBytes += isAllocated ? this.#allocationBytes : -this.#allocationBytes;
  }
}
