import { WorkerError } from '../../errors.js';
import type { Shard } from './shard.js';
import type { ShardSnapshot, ShardState } from './snapshot.js';

export interface ShardFilter {
  readonly modelRef?: string;
  readonly state?: ShardState;
  readonly limit: number;
  readonly cursor?: string;
}

export interface ShardPage {
  readonly shards: readonly ShardSnapshot[];
  readonly nextCursor: string | null;
}

/** The shards of this worker, by id. Pages are ordered by id, so added or removed shards do not shift the others. */
export class Shards {
  readonly #byId = new Map<string, Shard>();

  get(shardId: string): Shard | undefined {
    return this.#byId.get(shardId);
  }

  /** @throws WorkerError NOT_FOUND */
  require(shardId: string): Shard {
    const shard = this.#byId.get(shardId);
    if (shard === undefined) throw new WorkerError('NOT_FOUND', 'The shard does not exist');
    return shard;
  }

  add(shard: Shard): void {
    this.#byId.set(shard.identity.shardId, shard);
  }

  /** Does nothing if another shard has the id by now. */
  remove(shard: Shard): void {
    if (this.#byId.get(shard.identity.shardId) === shard) this.#byId.delete(shard.identity.shardId);
  }

  all(): Shard[] {
    return [...this.#byId.values()];
  }

  /** The shards of one model; all of them if `modelRef` is undefined. */
  ofModel(modelRef: string | undefined): Shard[] {
    return this.all().filter((shard) => modelRef === undefined || shard.identity.modelRef === modelRef);
  }

  /** @throws WorkerError INVALID_PARAMS if the cursor was not made by this worker */
  page({ modelRef, state, limit, cursor }: ShardFilter): ShardPage {
    const after = cursor === undefined ? '' : readCursor(cursor);
    const found = this.ofModel(modelRef)
      .filter((shard) => (state === undefined || shard.state === state) && shard.identity.shardId > after)
      .sort((a, b) => (a.identity.shardId < b.identity.shardId ? -1 : 1));
    const page = found.slice(0, limit);
    const last = page.at(-1);
    const hasMore = last !== undefined && found.length > limit;
    return { shards: page.map((shard) => shard.snapshot()), nextCursor: hasMore ? writeCursor(last) : null };
  }

  countByState(): Record<ShardState, number> {
    const counts = { receiving: 0, sealing: 0, sealed: 0, corrupt: 0, releasing: 0 };
    for (const shard of this.#byId.values()) counts[shard.state]++;
    return counts;
  }
}

const writeCursor = (shard: Shard): string => Buffer.from(shard.identity.shardId).toString('base64url');

function readCursor(cursor: string): string {
  const shardId = Buffer.from(cursor, 'base64url').toString('utf8');
  if (/^[A-Za-z0-9-]{1,256}$/.test(shardId)) return shardId;
  throw new WorkerError('INVALID_PARAMS', 'cursor is invalid: use the next_cursor of an earlier page');
}
