import koffi from 'koffi';

/** Bytes of one slot; `VRAM_STAGING_SLOT_BYTES`. */
export const slotBytes = 1024 * 1024;

/** Pinned host memory of one slot, and the number that the native side knows it by. */
export interface Slot {
  readonly index: number;
  readonly bytes: Uint8Array;
}

/**
 * The fixed ring of staging memory. It lives as long as the driver and is seen from here through views, so no garbage
 * collection can take it from under a copy. Slots are handed out last in, first out: the warm ones first.
 */
export class Staging {
  readonly #free: Slot[] = [];

  constructor(base: bigint, count: number) {
    const ring = new Uint8Array(koffi.view(base, count * slotBytes));
    for (let index = count - 1; index >= 0; index--) {
      this.#free.push({ index, bytes: ring.subarray(index * slotBytes, (index + 1) * slotBytes) });
    }
  }

  /** Takes `count` slots; the caller's turn has been granted, so they are there. */
  take(count: number): Slot[] {
    if (this.#free.length < count)
      throw new RangeError('staging slots are granted by commit slot: none can be missing');
    return this.#free.splice(this.#free.length - count, count);
  }

  give(slots: readonly Slot[]): void {
    this.#free.push(...slots);
  }
}
