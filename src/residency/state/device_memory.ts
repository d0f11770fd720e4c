import { WorkerError } from '../../errors.js';

/** A device and how much of it there is. Bytes are integers; `available` is what a new claim can take. */
export interface DeviceSnapshot {
  readonly gpuDevice: number;
  readonly name: string;
  readonly uuid: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly reservedBytes: number;
  readonly availableBytes: number;
  readonly granularityBytes: number;
}

/** What the accounts ask of a device. */
export interface DeviceFigures {
  readonly name: string;
  readonly uuid: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly granularityBytes: number;
}

/** Bytes of a device that are spoken for, from the decision to admit a shard until the memory is the device's again. */
export interface MemoryClaim {
  readonly bytes: number;
  /** The driver gave the memory. */
  markAllocated(): void;
  /** The driver is about to take it back. */
  markReleasing(): void;
  /** Keeps only what the driver gives, once the shard is sealed: no failure can give a larger reserved part back now. */
  trim(): void;
  /** Nothing is held any more. */
  release(): void;
}

/**
 * The accounts of one device. Decisions are made on these, not on the driver's figure, which lags behind allocations on
 * their way; while none is, `refresh` corrects them by it, since other processes may use the device too.
 */
export class DeviceMemory {
  readonly gpuDevice: number;
  readonly #ask: () => Promise<DeviceFigures>;
  #last: DeviceFigures;
  /** Free bytes as they would be if nothing were claimed. */
  #baseBytes: number;
  #claimedBytes = 0;
  #settledBytes = 0;
  #reservedBytes = 0;
  #moving = 0;
  /** Grows whenever a claim stops being on its way, or starts to be again. */
  #moves = 0;

  /** `figures` are the driver's while nothing is claimed; `ask` asks it anew. */
  constructor(gpuDevice: number, figures: DeviceFigures, ask: () => Promise<DeviceFigures>) {
    this.gpuDevice = gpuDevice;
    this.#ask = ask;
    this.#last = figures;
    this.#baseBytes = figures.freeBytes;
  }

  /** Asks the driver. Its answer counts where nothing moved meanwhile. Rejects with the driver's errors. */
  async refresh(): Promise<void> {
    const moves = this.#moves;
    const figures = await this.#ask();
    if (this.#moving > 0 || this.#moves !== moves) return;
    this.#last = figures;
    this.#baseBytes = figures.freeBytes + this.#settledBytes;
  }

  get uuid(): string {
    return this.#last.uuid;
  }

  get availableBytes(): number {
    return Math.max(0, this.#freeBytes() - this.#reservedBytes);
  }

  /** What an allocation of so many bytes takes. */
  mappedBytes(bytes: number): number {
    const mapped = Math.ceil(bytes / this.#last.granularityBytes) * this.#last.granularityBytes;
    return Math.min(mapped, Number.MAX_SAFE_INTEGER);
  }

  /**
   * Claims memory for `bytes` bytes; `fromReservedBytes` of it come out of what is reserved.
   * @throws WorkerError VRAM_OOM
   */
  claim(bytes: number, fromReservedBytes = 0): MemoryClaim {
    const given = this.mappedBytes(bytes);
    const mapped = Math.max(given, fromReservedBytes);
    this.#require(mapped - fromReservedBytes, mapped);
    this.#reservedBytes -= fromReservedBytes;
    this.#claimedBytes += mapped;
    return this.#open(mapped, given);
  }

  /** Sets mapped bytes aside. @throws WorkerError VRAM_OOM */
  reserve(mappedBytes: number): void {
    this.#require(mappedBytes, mappedBytes);
    this.#reservedBytes += mappedBytes;
  }

  /** Takes bytes back into the reserved ones, just after the claim on them was dropped. */
  restore(mappedBytes: number): void {
    this.#reservedBytes += mappedBytes;
  }

  unreserve(mappedBytes: number): void {
    this.#reservedBytes -= mappedBytes;
  }

  snapshot(): DeviceSnapshot {
    const freeBytes = this.#freeBytes();
    return {
      gpuDevice: this.gpuDevice,
      ...this.#last,
      freeBytes,
      reservedBytes: this.#reservedBytes,
      availableBytes: this.availableBytes,
    };
  }

  #require(bytes: number, neededBytes: number): void {
    const availableBytes = this.availableBytes;
    if (bytes <= availableBytes) return;
    throw new WorkerError('VRAM_OOM', `device ${this.gpuDevice} has not enough memory available`, {
      sizes: { neededBytes, availableBytes },
      retryAfterMs: 1000,
    });
  }

  #freeBytes(): number {
    return Math.max(0, this.#baseBytes - this.#claimedBytes);
  }

  /** `given` is what the driver gives of the claim, and so all that its figure ever shows of it. */
  #open(mapped: number, given: number): MemoryClaim {
    let held = mapped;
    let settled = false;
    this.#moving++;
    const settle = (to: boolean) => {
      if (settled === to) return;
      settled = to;
      this.#moves++;
      this.#moving += to ? -1 : 1;
      this.#settledBytes += to ? given : -given;
    };
    return {
      get bytes() {
        return held;
      },
      markAllocated: () => settle(true),
      markReleasing: () => settle(false),
      trim: () => {
        this.#claimedBytes -= held - given;
        held = given;
      },
      release: () => {
        if (held === 0) return;
        settle(false);
        this.#moves++;
        this.#moving--;
        this.#claimedBytes -= held;
        held = 0;
      },
    };
  }
}
