import { WorkerError } from '../../errors.js';
import type { Shard } from './shard.js';
import type { ShardSnapshot, ShardState } from './snapshot.js';
import { SortedMap } from './sorted_map.js';

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

/**
 * The shards of this worker, by id, with counts that each change of a shard keeps current. Pages are ordered by id, so added
 * or removed shards do not shift the others.
 */
export class Shards {
  readonly #byId = new SortedMap<Shard>();
  readonly #byModel = new Map<string, SortedMap<Shard>>();
  /** The shards with a current handle, or with one that is about to take effect, by the key that signed it. */
  readonly #byKey = new Map<string, Set<Shard>>();
  readonly #counts: Record<ShardState, number> = { receiving: 0, sealing: 0, sealed: 0, corrupt: 0, releasing: 0 };

  get(shardId: string): Shard | undefined {
    return this.#byId.get(shardId);
  }

  /** @throws WorkerError NOT_FOUND */
  require(shardId: string): Shard {
    const shard = this.#byId.get(shardId);
    if (shard === undefined) throw new WorkerError('NOT_FOUND', 'The shard does not exist');
    return shard;
  }

  /** Adds a new shard, whose id must be free. */
  add(shard: Shard): void {
    const { shardId, modelRef } = shard.identity;
    this.#byId.set(shardId, shard);
    const ofModel = this.#byModel.get(modelRef) ?? new SortedMap<Shard>();
    ofModel.set(shardId, shard);
    this.#byModel.set(modelRef, ofModel);
    this.#count(shard.state, shard.kid, shard, 1);
    shard.onPhase = (before) => {
      this.#count(before.state, before.kid, shard, -1);
      this.#count(shard.state, shard.kid, shard, 1);
    };
  }

  /** Does nothing if another shard has the id by now. */
  remove(shard: Shard): void {
    const { shardId, modelRef } = shard.identity;
    if (this.#byId.get(shardId) !== shard) return;
    this.#byId.delete(shardId);
    const ofModel = this.#byModel.get(modelRef);
    ofModel?.delete(shardId);
    if (ofModel?.size === 0) this.#byModel.delete(modelRef);
    this.#count(shard.state, shard.kid, shard, -1);
    shard.onPhase = undefined;
  }

  all(): Shard[] {
    return [...this.#byId.values()];
  }

  /** The shards of one model; all of them if `modelRef` is undefined. */
  ofModel(modelRef: string | undefined): Shard[] {
    return [...(this.#index(modelRef)?.values() ?? [])];
  }

  /** The shards whose handle another key than `kid` signed, in any state. Visits no other shard. */
  signedByOthers(kid: string): Shard[] {
    return [...this.#byKey].flatMap(([key, shards]) => (key === kid ? [] : [...shards]));
  }

  /** Whether a key signed the current handle of a shard, corrupt shards included. */
  readonly isKeyInUse = (kid: string): boolean => this.#byKey.has(kid);

  /** Finds the page in O(log n + its length), plus the shards that a `state` skips. @throws WorkerError INVALID_PARAMS */
  page({ modelRef, state, limit, cursor }: ShardFilter): ShardPage {
    const after = cursor === undefined ? '' : readCursor(cursor);
    const page: Shard[] = [];
    for (const shard of this.#index(modelRef)?.after(after) ?? []) {
      if (state !== undefined && shard.state !== state) continue;
      const last = page.at(-1);
      if (page.length === limit && last !== undefined)
        return { shards: snapshots(page), nextCursor: writeCursor(last) };
      page.push(shard);
    }
    return { shards: snapshots(page), nextCursor: null };
  }

  get countByState(): Readonly<Record<ShardState, number>> {
    return this.#counts;
  }

  #index(modelRef: string | undefined): SortedMap<Shard> | undefined {
    return modelRef === undefined ? this.#byId : this.#byModel.get(modelRef);
  }

  #count(state: ShardState, kid: string | undefined, shard: Shard, step: 1 | -1): void {
    this.#counts[state] += step;
    if (kid === undefined) return;
    const signed = this.#byKey.get(kid) ?? new Set();
    if (step === 1) signed.add(shard);
    else signed.delete(shard);
    if (signed.size === 0) this.#byKey.delete(kid);
    else this.#byKey.set(kid, signed);
  }
}

const snapshots = (shards: readonly Shard[]): ShardSnapshot[] => shards.map((shard) => shard.snapshot());

const writeCursor = (shard: Shard): string => Buffer.from(shard.identity.shardId).toString('base64url');

function readCursor(cursor: string): string {
  const shardId = Buffer.from(cursor, 'base64url').toString('utf8');
  if (/^[A-Za-z0-9-]{1,256}$/.test(shardId)) return shardId;
  throw new WorkerError('INVALID_PARAMS', 'cursor is invalid: use the next_cursor of an earlier page');
}
