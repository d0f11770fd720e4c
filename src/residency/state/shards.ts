import { WorkerError } from '../../errors.js';
import type { Shard } from './shard.js';
import { type ShardSnapshot, type ShardState, shardStates } from './snapshot.js';

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

/** The shards that live here, by id; pages go by id, so that a shard that comes or goes moves no other. */
export class Shards {
  readonly #records = new Map<string, Shard>();

  get(shardId: string): Shard | undefined {
    return this.#records.get(shardId);
  }

  /** @throws WorkerError NOT_FOUND */
  require(shardId: string): Shard {
    const record = this.#records.get(shardId);
    if (record === undefined) throw new WorkerError('NOT_FOUND', 'no such shard');
    return record;
  }

  add(record: Shard): void {
    this.#records.set(record.identity.shardId, record);
  }

  remove(record: Shard): void {
    if (this.#records.get(record.identity.shardId) === record) this.#records.delete(record.identity.shardId);
  }

  all(): Shard[] {
    return [...this.#records.values()];
  }

  ofModel(modelRef: string | undefined): Shard[] {
    return this.all().filter((record) => modelRef === undefined || record.identity.modelRef === modelRef);
  }

  /** @throws WorkerError INVALID_PARAMS for a cursor that is none of ours */
  page({ modelRef, state, limit, cursor }: ShardFilter): ShardPage {
    const after = cursor === undefined ? '' : readCursor(cursor);
    const found = this.ofModel(modelRef)
      .filter((record) => (state === undefined || record.state === state) && record.identity.shardId > after)
      .sort((a, b) => (a.identity.shardId < b.identity.shardId ? -1 : 1));
    const page = found.slice(0, limit);
    const last = page.at(-1);
    const more = last !== undefined && found.length > limit;
    return { shards: page.map((record) => record.snapshot()), nextCursor: more ? writeCursor(last) : null };
  }

  countByState(): Record<ShardState, number> {
    const counts = Object.fromEntries(shardStates.map((state) => [state, 0]));
    for (const record of this.#records.values()) counts[record.state] = (counts[record.state] ?? 0) + 1;
    return counts as Record<ShardState, number>;
  }
}

const writeCursor = (record: Shard): string => Buffer.from(record.identity.shardId).toString('base64url');

function readCursor(cursor: string): string {
  const shardId = Buffer.from(cursor, 'base64url').toString('utf8');
  if (/^[A-Za-z0-9-]{1,256}$/.test(shardId)) return shardId;
  throw new WorkerError('INVALID_PARAMS', 'cursor is not one that this worker gave out');
}
