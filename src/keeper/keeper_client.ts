import { outcomeOf } from '../errors.js';
import { encodeFrame } from '../ipc/frame.js';
import { type Answer, unavailable } from './connection.js';
import type { Custody, CustodyEntry, KeepableMemory } from './custody.js';
import { KeeperLink, type LinkOptions } from './link.js';
import { type KeptEntry, type KeptMemory, partCount, readAllPages, readMemory } from './messages.js';
import { Offers } from './offers.js';

/** How long an operation waits for a keeper, and for its answer. */
const defaultWaitMs = 5000;

export interface KeeperClientOptions extends LinkOptions {
  readonly waitMs?: number;
}

/** Memory as the keeper returned it. */
export interface ReturnedMemory extends KeptMemory {
  /** One per part, in order. The caller must close them. */
  readonly descriptors: readonly number[];
}

/**
 * The worker's side of the keeper. It connects in the background, connects again when the connection ends, and then hands
 * over again what a restarted keeper does not have. Every operation ends by a deadline, and none blocks.
 */
export class KeeperClient {
  readonly #link: KeeperLink;
  readonly #waitMs: number;
  readonly #offers: Offers;

  /** Begins to connect. */
  constructor(options: KeeperClientOptions) {
    const { waitMs = defaultWaitMs, log } = options;
    this.#waitMs = waitMs;
    this.#offers = new Offers(() => this.#link, log);
    const events = {
      onConnect: () => this.#offers.offerAll(),
      onDropped: (allocationId: string) => {
        log('warn', 'an operator made the keeper drop memory', { allocation_id: allocationId });
        this.#offers.delete(allocationId);
      },
      onEnd: () => this.#offers.replace('kept', 'unknown'),
      onGone: () => {
        this.#offers.replace('kept', 'absent');
        this.#offers.replace('unknown', 'absent');
      },
    };
    this.#link = new KeeperLink(options, events, waitMs);
  }

  /** Where an allocation's memory is. Shutdown must not wipe `kept` memory, and must wipe all other. */
  custody(allocationId: string): Custody {
    return this.#offers.get(allocationId)?.custody ?? 'absent';
  }

  get isConnected(): boolean {
    return this.#link.connection !== undefined;
  }

  /** Used from the next connection on. */
  replaceToken(token: string): void {
    this.#link.replaceToken(token);
  }

  /** Waits for the keeper. @throws WorkerError KEEPER_UNAVAILABLE, or what the keeper refuses with */
  async connected(waitMs = this.#waitMs): Promise<void> {
    await this.#link.connected(performance.now() + waitMs);
  }

  /**
   * Hands sealed memory over, all parts or nothing. Resolves when the keeper has acknowledged it. From the call on, also
   * after an error, the client offers the memory to each keeper that does not have it, until `drop` or `forget`.
   * @throws WorkerError KEEPER_UNAVAILABLE, KEEPER_FULL, and the errors of `Allocation.handOver`
   */
  async keep(memory: KeepableMemory): Promise<void> {
    const entry = this.#offers.ensure(memory.allocationId);
    entry.memory = memory;
    try {
      const connection = await this.#link.connected(this.#link.endOfWait(this.#waitMs));
      await this.#offers.offer(connection, entry);
    } catch (error) {
      this.#offers.offerLater();
      throw error;
    }
  }

  /**
   * The memory of this worker id under a name, for `Driver.adopt`; undefined if the keeper does not have it. The keeper
   * keeps holding it for this process. @throws WorkerError KEEPER_UNAVAILABLE
   */
  async take(allocationId: string): Promise<ReturnedMemory | undefined> {
    const answer = await this.#ask('get', { allocation_id: allocationId });
    if (answer === undefined) return undefined;
    const { frame, descriptors } = answer;
    try {
      const memory = readMemory(frame);
      if (memory.allocationId !== allocationId || descriptors.count !== partCount(memory)) {
        throw unavailable('returned memory that is not complete');
      }
      this.#offers.ensure(allocationId).custody = 'kept';
      return { ...memory, descriptors: descriptors.moved().numbers };
    } finally {
      descriptors.close();
    }
  }

  /** Everything that the keeper holds, also of other workers. @throws WorkerError KEEPER_UNAVAILABLE */
  async list(): Promise<readonly KeptEntry[]> {
    return readAllPages(async (cursor) => (await this.#ask('list', { cursor }))?.frame.fields ?? []);
  }

  /**
   * Takes memory from the keeper, before it is released. Resolves when it is certain that the keeper does not have it: it said
   * so, or its process has ended. After an error the memory is offered again, because the release did not happen.
   * @throws WorkerError KEEPER_UNAVAILABLE
   */
  async drop(allocationId: string): Promise<void> {
    const entry = this.#offers.ensure(allocationId);
    const endMs = this.#link.endOfWait(this.#waitMs);
    entry.isDropping = true;
    try {
      // An offer in progress ends by its own deadline.
      await entry.offer?.catch(() => undefined);
      await this.#dropUntil(entry, endMs);
      this.#offers.delete(allocationId);
    } catch (error) {
      entry.isDropping = false;
      if (entry.memory === undefined && entry.custody === 'absent') this.#offers.delete(allocationId);
      this.#offers.offerLater();
      throw error;
    }
  }

  /** Leaves memory to the keeper: this process gives up its own. */
  forget(allocationId: string): void {
    this.#offers.delete(allocationId);
  }

  /** Ends the connection. The keeper holds the memory for its hold time from now on. */
  close(): void {
    this.#offers.clear();
    this.#link.close();
  }

  async #dropUntil(entry: CustodyEntry, endMs: number): Promise<void> {
    const isKnown = entry.memory !== undefined || entry.custody !== 'absent';
    for (;;) {
      if (isKnown && entry.custody === 'absent') return;
      const { connection } = this.#link;
      if (connection !== undefined) {
        try {
          const { descriptors } = await connection.request((id) =>
            encodeFrame('drop', { id, allocation_id: entry.allocationId }),
          );
          return descriptors.close();
        } catch (error) {
          // If the connection ended, the next one will answer.
          if (connection.isOpen) throw error;
        }
      }
      if (performance.now() >= endMs) throw unavailable('did not confirm that it dropped the memory');
      if (this.#link.connection === undefined) await this.#link.change(endMs);
    }
  }

  /** Undefined if the keeper does not have the memory. */
  async #ask(type: string, fields: Readonly<Record<string, string | null>>): Promise<Answer | undefined> {
    const connection = await this.#link.connected(this.#link.endOfWait(this.#waitMs));
    try {
      return await connection.request((id) => encodeFrame(type, { id, ...fields }));
    } catch (error) {
      if (outcomeOf(error) === 'NOT_FOUND') return undefined;
      throw error;
    }
  }
}
