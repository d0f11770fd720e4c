import type { Shard } from './shard.js';
import type { ShardState } from './snapshot.js';
import { SortedMap } from './sorted_map.js';
import { VerificationOrder } from './verification_order.js';

/** The shards of one model, by id, with figures that each change of a shard keeps current. */
export class ModelShards extends SortedMap<Shard> {
  readonly modelRef: string;
  readonly verifications = new VerificationOrder();
  /** Grows with every change of a shard, so that figures about the model can be cached. */
  changes = 0;
  /** How many sealed shards have each index, by the number of shards that they belong to. */
  readonly #sealed = new Map<number, Map<number, number>>();
  /** How many other shards there are, by the number of shards that they belong to. */
  readonly #others = new Map<number, number>();
  #corrupt = 0;

  constructor(modelRef: string) {
    super();
    this.modelRef = modelRef;
  }

  /** While some shards are sealed, one that still arrives does not decide how many shards the model has. */
  get totalShards(): number {
    return greatest(this.#sealed) || greatest(this.#others);
  }

  /** The shard indexes of which a shard is sealed. */
  get residentShards(): number {
    return this.#sealed.get(this.totalShards)?.size ?? 0;
  }

  /** Each shard index has a sealed shard, and no shard is corrupt. */
  get isReady(): boolean {
    const { residentShards } = this;
    return this.#corrupt === 0 && residentShards > 0 && residentShards === this.totalShards;
  }

  /** A shard enters a state, or leaves it. */
  count({ identity: { totalShards, shardIndex } }: Shard, state: ShardState, step: 1 | -1): void {
    this.changes++;
    if (state === 'sealed') {
      const indexes = this.#sealed.get(totalShards) ?? new Map<number, number>();
      add(indexes, shardIndex, step);
      if (indexes.size === 0) this.#sealed.delete(totalShards);
      else this.#sealed.set(totalShards, indexes);
      return;
    }
    add(this.#others, totalShards, step);
    if (state === 'corrupt') this.#corrupt += step;
  }
}

const greatest = (byTotal: ReadonlyMap<number, unknown>): number => {
  let most = 0;
  for (const total of byTotal.keys()) most = Math.max(most, total);
  return most;
};

function add(counts: Map<number, number>, key: number, step: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + step;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
