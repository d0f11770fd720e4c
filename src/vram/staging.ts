import koffi from 'koffi';

/** Bytes of one slot: `VRAM_STAGING_SLOT_BYTES` in `cuda/include/vram.h`. */
export const slotBytes = 1024 * 1024;

/** One slot of pinned host memory. `index` is its number in the C ABI. */
export interface Slot {
  readonly index: number;
  readonly bytes: Uint8Array;
}

/** Bytes that wait in a slot, at its start. */
export interface FilledSlot {
  readonly slot: Slot;
  readonly bytes: number;
}

/**
 * The pool of staging slots. libvram owns the memory until the driver is closed. The slots are views of it, so the
 * garbage collector can neither move nor free it.
 */
export class Staging {
  /** Used as a stack: a recently used slot is still in the CPU's cache. */
  readonly #free: Slot[] = [];
  readonly #spare: Slot[] = [];
  /** Slots from this index on are spare. */
  readonly #firstSpare: number;

  /** `base` is the address of the first slot. The last `spareCount` of all `count` slots are spare. */
  constructor(base: bigint, count: number, spareCount = 0) {
    this.#firstSpare = count - spareCount;
    const memory = new Uint8Array(koffi.view(base, count * slotBytes));
    for (let index = count - 1; index >= 0; index--) {
      const slot = { index, bytes: memory.subarray(index * slotBytes, (index + 1) * slotBytes) };
      this.#stackOf(slot).push(slot);
    }
  }

  /**
   * Takes `count` slots. The commit queue admits only commits whose slots are free. @throws RangeError if too few are
   */
  take(count: number): Slot[] {
    if (this.#free.length < count)
      throw new RangeError('too few free staging slots: a commit must acquire its commit slot first');
    return this.#free.splice(this.#free.length - count, count);
  }

  /** Takes a spare slot, which no commit counts on. Undefined if all are in use. */
  takeSpare(): Slot | undefined {
    return this.#spare.pop();
  }

  give(slots: readonly Slot[]): void {
    for (const slot of slots) this.#stackOf(slot).push(slot);
  }

  #stackOf({ index }: Slot): Slot[] {
    return index < this.#firstSpare ? this.#free : this.#spare;
  }
}
