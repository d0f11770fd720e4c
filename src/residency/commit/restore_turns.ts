import type { RangedSource } from '../../sources/ranged_source.js';
import type { SourceReference } from '../../sources/reference.js';
import { CommitQueue } from '../state/commit_queue.js';

/** The steps of a restore. The source is closed after them. */
interface RemoteRestore {
  readonly open: () => Promise<RangedSource>;
  readonly transfer: (source: RangedSource) => Promise<unknown>;
}

/** How many shards are restored concurrently. */
export const restoreSlots = 4;

/**
 * The order of restores. Opening a remote file can take minutes, so it waits for no slot and holds none, and only files of
 * the same source wait for it. Remote transfers leave one slot to local files.
 */
export class RestoreTurns {
  /** The slots, which have the staging memory. */
  readonly slots = new CommitQueue(restoreSlots, Number.POSITIVE_INFINITY);
  readonly #remote = new CommitQueue(restoreSlots - 1, Number.POSITIVE_INFINITY);
  readonly #bySource = new Map<string, CommitQueue>();

  /** Opens and transfers a remote file. @throws the reason of the signal, and what the steps throw */
  remote(reference: SourceReference, signal: AbortSignal, { open, transfer }: RemoteRestore): Promise<void> {
    return inTurn(this.#of(reference), signal, async () => {
      const source = await open();
      await inTurn(this.#remote, signal, () => transfer(source)).finally(() => source.close());
    });
  }

  #of(reference: SourceReference): CommitQueue {
    const key = sourceOf(reference);
    const queue = this.#bySource.get(key) ?? new CommitQueue(restoreSlots - 1, Number.POSITIVE_INFINITY);
    this.#bySource.set(key, queue);
    return queue;
  }
}

/** The configured source or, if the manifest does not name it, the host. */
function sourceOf(reference: SourceReference): string {
  const name = 'name' in reference ? (reference.name ?? '') : '';
  return `${reference.type} ${name} ${reference.type === 'http' ? new URL(reference.url).origin : ''}`;
}

async function inTurn<T>(queue: CommitQueue, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const turn = queue.acquire();
  const leave = () => turn.cancel(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  try {
    await turn.ready();
    return await work();
  } finally {
    signal.removeEventListener('abort', leave);
    turn.release();
  }
}
