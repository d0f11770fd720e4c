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
 * - `waiting`: no memory is allocated. The commit waits for its turn, perhaps for hours.
 * - `moving`: the driver allocates or frees the memory at this moment.
 * - `allocated`: the driver's figures include the memory.
 */
type ClaimState = 'waiting' | 'moving' | 'allocated';

/**
 * Bytes of a device that one commit holds, from its admission until the memory belongs to the device again. Each shard has one,
 * so it has no closures.
 */
export class MemoryClaim {
  readonly #totals: ClaimTotals;
  /** The driver's part of the claim: the bytes that its figures include once it is allocated. */
  readonly #allocationBytes: number;
  #bytes: number;
  #state: ClaimState = 'waiting';

  constructor(totals: ClaimTotals, bytes: number, allocationBytes: number) {
    this.#totals = totals;
    this.#bytes = bytes;
    this.#allocationBytes = allocationBytes;
    totals.claimedBytes += bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The driver is about to allocate the memory. */
  markAllocating(): void {
    this.#enter('moving');
  }

  /** The driver allocated the memory. */
  markAllocated(): void {
    this.#enter('allocated');
  }

  /** The driver is about to free the memory, if there is any. */
  markReleasing(): void {
    if (this.#state === 'allocated') this.#enter('moving');
  }

  /** No memory is left. A later attempt of the commit may allocate it again. */
  markFree(): void {
    this.#enter('waiting');
  }

  /** Keeps only what the driver allocated. Called once the shard is sealed. */
  trim(): void {
    this.#totals.claimedBytes -= this.#bytes - this.#allocationBytes;
    this.#bytes = this.#allocationBytes;
  }

  /** Ends the claim. Idempotent. */
  release(): void {
    if (this.#bytes === 0) return;
    this.#enter('waiting');
    this.#totals.claimedBytes -= this.#bytes;
    this.#bytes = 0;
  }

  #enter(next: ClaimState): void {
    const [from, totals] = [this.#state, this.#totals];
    if (from === next) return;
    this.#state = next;
    totals.transitions++;
    totals.inFlight += inFlight(next) - inFlight(from);
    totals.allocatedBytes += this.#allocationBytes * (allocated(next) - allocated(from));
  }
}

const inFlight = (state: ClaimState): number => (state === 'moving' ? 1 : 0);
const allocated = (state: ClaimState): number => (state === 'allocated' ? 1 : 0);
