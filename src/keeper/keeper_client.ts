import { outcomeOf, type WorkerError } from '../errors.js';
import { encodeFrame } from '../ipc/frame.js';
import { type Answer, type KeeperConnection, unavailable } from './connection.js';
import { type Custody, CustodyEntry, type KeepableMemory } from './custody.js';
import { KeeperLink, type LinkOptions } from './link.js';
import { encodeMemory, type KeptEntry, type KeptMemory, partCount, readEntries, readMemory } from './messages.js';

/** How long an operation waits for a keeper, and for its answer. */
const defaultWaitMs = 5000;

/** When memory that the keeper did not take is offered again. */
const retryMs = 10_000;

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
  readonly #log: LinkOptions['log'];
  readonly #entries = new Map<string, CustodyEntry>();
  #retryTimer: NodeJS.Timeout | undefined;

  /** Begins to connect. */
  constructor(options: KeeperClientOptions) {
    const { waitMs = defaultWaitMs, log } = options;
    this.#waitMs = waitMs;
    this.#log = log;
    const events = {
      onConnect: () => this.#offerAll(),
      onEnd: () => this.#replace('kept', 'unknown'),
      onGone: () => {
        this.#replace('kept', 'absent');
        this.#replace('unknown', 'absent');
      },
    };
    this.#link = new KeeperLink(options, events, waitMs);
  }

  /** Where an allocation's memory is. Shutdown must not wipe `kept` memory, and must wipe all other. */
  custody(allocationId: string): Custody {
    return this.#entries.get(allocationId)?.custody ?? 'absent';
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
    const entry = this.#entry(memory.allocationId);
    entry.memory = memory;
    try {
      const connection = await this.#link.connected(performance.now() + this.#waitMs);
      await this.#offer(connection, entry);
    } catch (error) {
      this.#offerLater();
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
      this.#entry(allocationId).custody = 'kept';
      return { ...memory, descriptors: descriptors.take() };
    } finally {
      descriptors.close();
    }
  }

  /** Everything that the keeper holds, also of other workers. @throws WorkerError KEEPER_UNAVAILABLE */
  async list(): Promise<readonly KeptEntry[]> {
    const answer = await this.#ask('list', {});
    return answer === undefined ? [] : readEntries(answer.frame.fields);
  }

  /**
   * Takes memory from the keeper, before it is released. Resolves when it is certain that the keeper does not have it: it said
   * so, or its process has ended. After an error the memory is offered again, because the release did not happen.
   * @throws WorkerError KEEPER_UNAVAILABLE
   */
  async drop(allocationId: string): Promise<void> {
    const entry = this.#entry(allocationId);
    const endMs = performance.now() + this.#waitMs;
    entry.isDropping = true;
    try {
      // An offer in progress ends by its own deadline.
      await entry.offer?.catch(() => undefined);
      await this.#dropUntil(entry, endMs);
      this.#entries.delete(allocationId);
    } catch (error) {
      entry.isDropping = false;
      if (entry.memory === undefined && entry.custody === 'absent') this.#entries.delete(allocationId);
      this.#offerLater();
      throw error;
    }
  }

  /** Leaves memory to the keeper: this process gives up its own. */
  forget(allocationId: string): void {
    this.#entries.delete(allocationId);
  }

  /** Ends the connection. The keeper holds the memory for its hold time from now on. */
  close(): void {
    clearTimeout(this.#retryTimer);
    this.#entries.clear();
    this.#link.close();
  }

  async #dropUntil(entry: CustodyEntry, endMs: number): Promise<void> {
    const wasKnown = entry.memory !== undefined || entry.custody !== 'absent';
    for (;;) {
      if (wasKnown && entry.custody === 'absent') return;
      const { connection } = this.#link;
      if (connection !== undefined) {
        const request = (id: number) => encodeFrame('drop', { id, allocation_id: entry.allocationId });
        const dropped = await connection
          .request(request)
          .then(closed, (error: unknown) => this.#ifOpen(connection, error));
        if (dropped) return;
      }
      if (performance.now() >= endMs) throw unavailable('did not confirm that it dropped the memory');
      if (this.#link.connection === undefined) await this.#link.change(endMs);
    }
  }

  /** False if the connection ended, so that another one may answer. @throws the keeper's refusal */
  #ifOpen(connection: KeeperConnection, error: unknown): false {
    if (connection.isOpen) throw error;
    return false;
  }

  /** Undefined if the keeper does not have the memory. */
  async #ask(type: string, fields: Readonly<Record<string, string>>): Promise<Answer | undefined> {
    const connection = await this.#link.connected(performance.now() + this.#waitMs);
    try {
      return await connection.request((id) => encodeFrame(type, { id, ...fields }));
    } catch (error) {
      if (outcomeOf(error) === 'NOT_FOUND') return undefined;
      throw error;
    }
  }

  #entry(allocationId: string): CustodyEntry {
    const entry = this.#entries.get(allocationId) ?? new CustodyEntry(allocationId);
    this.#entries.set(allocationId, entry);
    return entry;
  }

  /** Concurrent offers of the same memory share one. */
  #offer(connection: KeeperConnection, entry: CustodyEntry): Promise<void> {
    entry.offer ??= this.#claimOrPut(connection, entry).finally(() => {
      entry.offer = undefined;
    });
    return entry.offer;
  }

  async #claimOrPut(connection: KeeperConnection, entry: CustodyEntry): Promise<void> {
    const { allocationId, memory } = entry;
    try {
      const claim = await connection
        .request((id) => encodeFrame('claim', { id, allocation_id: allocationId }))
        .catch(ifNotFound);
      if (claim === undefined) {
        entry.custody = 'absent';
        if (memory === undefined || entry.isDropping) return;
        await connection.handOver(async (socket, id) => {
          const frame = encodeMemory('put', id, memory);
          return { frame, sentBytes: await memory.allocation.handOver(socket, frame) };
        });
      }
      if (connection.isOpen) entry.custody = 'kept';
    } catch (error) {
      // An open connection proves that the keeper did not take it.
      if (!connection.isOpen && this.#link.isKeeper(connection)) entry.custody = 'unknown';
      throw error;
    }
  }

  #offerAll(): void {
    const { connection } = this.#link;
    if (connection === undefined) return;
    const missing = [...this.#entries.values()].filter(({ custody, isDropping }) => custody !== 'kept' && !isDropping);
    for (const entry of missing) {
      this.#offer(connection, entry).catch((error: WorkerError) => {
        if (!connection.isOpen) return;
        const fields = { allocation_id: entry.allocationId, err: error };
        this.#log('error', 'the keeper did not take the memory', fields);
        this.#offerLater();
      });
    }
  }

  #offerLater(): void {
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = undefined;
      this.#offerAll();
    }, retryMs).unref();
  }

  #replace(before: Custody, after: Custody): void {
    for (const entry of this.#entries.values()) if (entry.custody === before) entry.custody = after;
  }
}

const closed = ({ descriptors }: Answer): true => {
  descriptors.close();
  return true;
};

function ifNotFound(error: unknown): undefined {
  if (outcomeOf(error) !== 'NOT_FOUND') throw error;
}
