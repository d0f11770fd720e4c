import type { DeviceMemory } from './device_memory.js';
import type { MemoryClaim } from './memory_claim.js';

/** The memory granted to one commit: a claim on a device, and the reserved part that it used, if any. */
export class MemoryGrant {
  readonly memory: DeviceMemory;
  readonly claim: MemoryClaim;
  #returnPart: (() => void) | undefined;

  /** `returnPart` makes the part of a reservation available again; it runs at most once, after the claim ended. */
  constructor(memory: DeviceMemory, claim: MemoryClaim, returnPart?: () => void) {
    this.memory = memory;
    this.claim = claim;
    this.#returnPart = returnPart;
  }

  /** The shard is sealed: the reserved part is used up, and the claim shrinks to the size of the allocation. */
  consume(): void {
    this.#returnPart = undefined;
    this.claim.trim();
  }

  /** The memory belongs to the device again. A failed commit also returns its reserved part. Idempotent. */
  release(): void {
    this.claim.release();
    this.#returnPart?.();
    this.#returnPart = undefined;
  }
}
