import { WorkerError } from '../../errors.js';
import type { DeviceInfo } from '../../vram/driver.js';
import { type ClaimTotals, MemoryClaim } from './memory_claim.js';

/** A device and the state of its memory. A new claim can take up to `availableBytes`. */
export interface DeviceSnapshot extends DeviceInfo {
  readonly gpuDevice: number;
  readonly reservedBytes: number;
  readonly availableBytes: number;
  /** Memory of released shards that other processes still have. */
  readonly zombieBytes: number;
}

/**
 * Memory accounting of one device. Decisions do not use the driver's free memory, which lags behind allocations in
 * progress. While none is in progress, `refresh` corrects the account, because other processes may use the device too.
 */
export class DeviceMemory {
  readonly gpuDevice: number;
  /** Why the device cannot share memory with other processes; null if it can. */
  readonly exportError: string | null;
  /** Part of the claimed memory. */
  zombieBytes = 0;
  readonly #query: () => Promise<DeviceInfo>;
  #latest: DeviceInfo;
  /** Free memory if there were no claims. */
  #baseBytes: number;
  readonly #claims: ClaimTotals = { claimedBytes: 0, allocatedBytes: 0, inFlight: 0, transitions: 0 };
  #reservedBytes = 0;

  /** `figures` are the driver's while nothing is claimed; `query` gets newer ones. */
  constructor(
    gpuDevice: number,
    figures: DeviceInfo,
    query: () => Promise<DeviceInfo>,
    exportError: string | null = null,
  ) {
    this.gpuDevice = gpuDevice;
    this.#query = query;
    this.exportError = exportError;
    this.#latest = figures;
    this.#baseBytes = figures.freeBytes;
  }

  /** Queries the driver. Ignores the result if a claim was in flight since. Rejects with the driver's errors. */
  async refresh(): Promise<void> {
    const { transitions } = this.#claims;
    const figures = await this.#query();
    if (this.#claims.inFlight > 0 || this.#claims.transitions !== transitions) return;
    this.#latest = figures;
    this.#baseBytes = figures.freeBytes + this.#claims.allocatedBytes;
  }

  get granularityBytes(): number {
    return this.#latest.granularityBytes;
  }

  get uuid(): string {
    return this.#latest.uuid;
  }

  get availableBytes(): number {
    return Math.max(0, this.#freeBytes() - this.#reservedBytes);
  }

  /** `bytes` rounded up to the granularity of allocations. */
  mappedBytes(bytes: number): number {
    const mapped = Math.ceil(bytes / this.#latest.granularityBytes) * this.#latest.granularityBytes;
    return Math.min(mapped, Number.MAX_SAFE_INTEGER);
  }

  /** Claims memory for `bytes` bytes, of which `fromReservedBytes` come out of a reservation. @throws WorkerError VRAM_OOM */
  claim(bytes: number, fromReservedBytes = 0): MemoryClaim {
    const allocation = this.mappedBytes(bytes);
    const claimed = Math.max(allocation, fromReservedBytes);
    this.#require(claimed - fromReservedBytes, claimed);
    this.#reservedBytes -= fromReservedBytes;
    return new MemoryClaim(this.#claims, claimed, allocation);
  }

  /** Claims memory that an earlier process allocated. It is there, so this cannot fail. */
  claimExisting(bytes: number): MemoryClaim {
    const allocation = this.mappedBytes(bytes);
    const claim = new MemoryClaim(this.#claims, allocation, allocation);
    claim.markAllocating();
    return claim;
  }

  /** @throws WorkerError VRAM_OOM */
  reserve(mappedBytes: number): void {
    this.#require(mappedBytes, mappedBytes);
    this.#reservedBytes += mappedBytes;
  }

  /** Reserves bytes again, directly after the claim on them ended. */
  restore(mappedBytes: number): void {
    this.#reservedBytes += mappedBytes;
  }

  unreserve(mappedBytes: number): void {
    this.#reservedBytes -= mappedBytes;
  }

  snapshot(): DeviceSnapshot {
    const { gpuDevice, availableBytes, zombieBytes } = this;
    const account = { freeBytes: this.#freeBytes(), reservedBytes: this.#reservedBytes, availableBytes, zombieBytes };
    return { gpuDevice, ...this.#latest, ...account };
  }

  #require(bytes: number, neededBytes: number): void {
    const { availableBytes } = this;
    if (bytes <= availableBytes) return;
    throw new WorkerError('VRAM_OOM', `GPU device ${this.gpuDevice} does not have enough memory available`, {
      sizes: { neededBytes, availableBytes },
      retryAfterMs: 1000,
    });
  }

  #freeBytes(): number {
    return Math.max(0, this.#baseBytes - this.#claims.claimedBytes);
  }
}
