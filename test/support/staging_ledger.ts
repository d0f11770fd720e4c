import { type Slot, Staging } from '../../src/vram/staging.js';

/** Watches the staging slots of all workers of this process: no slot may be taken twice, or given back twice. */
export class StagingLedger {
  readonly #taken = new Map<Staging, Set<Slot>>();
  /** What went wrong. */
  readonly problems: string[] = [];

  private constructor() {}

  static begin(): StagingLedger {
    const ledger = new StagingLedger();
    const { take, takeSpare, give } = Staging.prototype;
    Staging.prototype.take = function (count) {
      return ledger.#take(this, take.call(this, count));
    };
    Staging.prototype.takeSpare = function () {
      const slot = takeSpare.call(this);
      ledger.#take(this, slot === undefined ? [] : [slot]);
      return slot;
    };
    Staging.prototype.give = function (slots) {
      ledger.#give(this, slots);
      give.call(this, slots);
    };
    return ledger;
  }

  /** Slots that are in use. */
  get inUse(): number {
    return [...this.#taken.values()].reduce((sum, slots) => sum + slots.size, 0);
  }

  #take(staging: Staging, slots: Slot[]): Slot[] {
    const taken = this.#taken.get(staging) ?? new Set();
    this.#taken.set(staging, taken);
    for (const slot of slots) {
      if (taken.has(slot)) this.problems.push(`slot ${slot.index} was taken twice`);
      taken.add(slot);
    }
    return slots;
  }

  #give(staging: Staging, slots: readonly Slot[]): void {
    for (const slot of slots) {
      if (this.#taken.get(staging)?.delete(slot) !== true)
        this.problems.push(`slot ${slot.index} was given back twice`);
    }
  }
}
