import type { Allocation } from './allocation.js';

/** Memory without a shard that the driver refused to free. */
export class Unfreed {
  readonly #allocations = new Set<Allocation>();

  /** Wipes and frees memory. After an error, `retry` continues. @throws VramError */
  async free(allocation: Allocation): Promise<void> {
    try {
      await allocation.free();
      this.#allocations.delete(allocation);
    } catch (error) {
      // Behind the others, which the driver may not refuse.
      this.#allocations.delete(allocation);
      this.#allocations.add(allocation);
      throw error;
    }
  }

  /** Frees what is left, until the driver refuses. @throws VramError */
  async retry(): Promise<void> {
    for (const allocation of this.#allocations) await this.free(allocation);
  }
}
