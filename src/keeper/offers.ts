import { outcomeOf } from '../errors.js';
import { encodeFrame } from '../ipc/frame.js';
import type { KeeperConnection } from './connection.js';
import { type Custody, CustodyEntry } from './custody.js';
import type { KeeperLink, LinkOptions } from './link.js';
import { encodeMemory } from './messages.js';

/** When memory that the keeper did not take is offered again. */
const retryMs = 10_000;

/** The memory that the keeper should hold. What it does not hold is offered to it, and again after a restart. */
export class Offers {
  readonly #link: () => KeeperLink;
  readonly #log: LinkOptions['log'];
  readonly #entries = new Map<string, CustodyEntry>();
  #retryTimer: NodeJS.Timeout | undefined;

  constructor(link: () => KeeperLink, log: LinkOptions['log']) {
    this.#link = link;
    this.#log = log;
  }

  get(allocationId: string): CustodyEntry | undefined {
    return this.#entries.get(allocationId);
  }

  ensure(allocationId: string): CustodyEntry {
    const entry = this.#entries.get(allocationId) ?? new CustodyEntry(allocationId);
    this.#entries.set(allocationId, entry);
    return entry;
  }

  delete(allocationId: string): void {
    this.#entries.delete(allocationId);
  }

  /** Replaces one state of custody by another. */
  replace(before: Custody, after: Custody): void {
    for (const entry of this.#entries.values()) if (entry.custody === before) entry.custody = after;
  }

  clear(): void {
    clearTimeout(this.#retryTimer);
    this.#entries.clear();
  }

  /** Offers one. Concurrent offers of the same memory share one. @throws WorkerError */
  offer(connection: KeeperConnection, entry: CustodyEntry): Promise<void> {
    entry.offer ??= this.#claimOrPut(connection, entry).finally(() => {
      entry.offer = undefined;
    });
    return entry.offer;
  }

  /** Offers all that the keeper does not hold. Never throws. */
  offerAll(): void {
    const { connection } = this.#link();
    if (connection === undefined) return;
    const missing = [...this.#entries.values()].filter(({ custody, isDropping }) => custody !== 'kept' && !isDropping);
    for (const entry of missing) {
      this.offer(connection, entry).catch((error: unknown) => {
        if (!connection.isOpen) return;
        this.#log('error', 'the keeper did not take the memory', { allocation_id: entry.allocationId, err: error });
        this.offerLater();
      });
    }
  }

  offerLater(): void {
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = undefined;
      this.offerAll();
    }, retryMs).unref();
  }

  async #claimOrPut(connection: KeeperConnection, entry: CustodyEntry): Promise<void> {
    try {
      const isClaimed = await claim(connection, entry.allocationId);
      if (!isClaimed) entry.custody = 'absent';
      if (!isClaimed && !(await put(connection, entry))) return;
      if (connection.isOpen) entry.custody = 'kept';
    } catch (error) {
      // If the connection is open, the keeper refused, or nothing was sent.
      if (!connection.isOpen && this.#link().isKeeper(connection)) entry.custody = 'unknown';
      throw error;
    }
  }
}

/** Whether the keeper has the memory. */
async function claim(connection: KeeperConnection, allocationId: string): Promise<boolean> {
  try {
    await connection.request((id) => encodeFrame('claim', { id, allocation_id: allocationId }));
    return true;
  } catch (error) {
    if (outcomeOf(error) === 'NOT_FOUND') return false;
    throw error;
  }
}

/** False if the memory must not be handed over. */
async function put(connection: KeeperConnection, entry: CustodyEntry): Promise<boolean> {
  const { memory } = entry;
  if (memory === undefined || entry.isDropping) return false;
  await connection.handOver(async (socket, id) => {
    const frame = encodeMemory('put', id, memory);
    return { frame, sentBytes: await memory.allocation.handOver(socket, frame) };
  });
  return true;
}
