import { WorkerError } from '../../errors.js';
import type { Moment } from '../../vram/moment.js';
import { ModelShards } from './model_shards.js';
import type { Shard } from './shard.js';
import type { PhaseKeys } from './shard_phase.js';
import type { ShardSnapshot, ShardState } from './snapshot.js';
import { SortedMap } from './sorted_map.js';
import { VerificationOrder } from './verification_order.js';

export interface ShardFilter {
  readonly modelRef?: string;
  readonly state?: ShardState;
  readonly gpuUuid?: string;
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
  /** Called after each transition of a shard. */
  readonly observers: ((shard: Shard, before: PhaseKeys) => void)[] = [];
  /** Called after each change that a client could see. */
  readonly #onChange: () => void;
  readonly #byId = new SortedMap<Shard>();
  readonly #byModel = new SortedMap<ModelShards>();
  /** The shards with a current handle, or with one that is about to take effect, by the key that signed it. */
  readonly #byKey = new Map<string, Set<Shard>>();
  readonly #verifications = new VerificationOrder();
  #readyModels = 0;
  readonly #byState: Readonly<Record<ShardState, SortedMap<Shard>>> = {
    receiving: new SortedMap(),
    sealing: new SortedMap(),
    sealed: new SortedMap(),
    corrupt: new SortedMap(),
    releasing: new SortedMap(),
  };

  constructor(onChange: () => void = () => undefined) {
    this.#onChange = onChange;
  }

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
    const ofModel = this.#byModel.get(modelRef) ?? new ModelShards(modelRef);
    ofModel.set(shardId, shard);
    this.#byModel.set(modelRef, ofModel);
    this.#byState[shard.state].set(shardId, shard);
    this.#index(shard);
    this.#onChange();
    shard.onPhase = this.#onPhase;
  }

  /** Does nothing if another shard has the id by now. */
  remove(shard: Shard): void {
    const { shardId, modelRef } = shard.identity;
    if (this.#byId.get(shardId) !== shard) return;
    this.#byId.delete(shardId);
    this.#byState[shard.state].delete(shardId);
    this.#unindex(shard, shard);
    const ofModel = this.#byModel.get(modelRef);
    ofModel?.delete(shardId);
    if (ofModel?.size === 0) this.#byModel.delete(modelRef);
    shard.onPhase = undefined;
    this.#onChange();
  }

  all(): Shard[] {
    return [...this.#byId.values()];
  }

  inState(state: ShardState): Shard[] {
    return [...this.#byState[state].values()];
  }

  /** The models of all shards by their names, or the given one. Empty if no shard is of this model. */
  models(modelRef: string | undefined): ModelShards[] {
    if (modelRef === undefined) return [...this.#byModel.values()];
    const model = this.#byModel.get(modelRef);
    return model === undefined ? [] : [model];
  }

  /** The shards of one model; all of them if `modelRef` is undefined. */
  ofModel(modelRef: string | undefined): Shard[] {
    return [...this.#ofModel(modelRef).values()];
  }

  /** Models of which a shard exists. */
  get modelCounts(): { readonly ready: number; readonly other: number } {
    return { ready: this.#readyModels, other: this.#byModel.size - this.#readyModels };
  }

  /** Whether all shards of this model, or of any model, are sealed and intact. Visits no shard. */
  isReady(modelRef: string | undefined): boolean {
    return modelRef === undefined ? this.#readyModels > 0 : this.#byModel.get(modelRef)?.isReady === true;
  }

  /** The sealed shards of one model, or of all, that were last verified before a moment. Visits no other shard. */
  verifiedBefore(modelRef: string | undefined, moment: Moment): Shard[] {
    return this.#verificationsOf(modelRef)?.before(moment) ?? [];
  }

  /** Whether `verifiedBefore` would find a shard. Visits none. */
  isAnyVerifiedBefore(modelRef: string | undefined, moment: Moment): boolean {
    return this.#verificationsOf(modelRef)?.isAnyBefore(moment) ?? false;
  }

  /** All sealed shards, in the order of their last verifications. */
  get verified(): Omit<VerificationOrder, 'add' | 'remove'> {
    return this.#verifications;
  }

  /** The oldest last verification of these sealed shards, in milliseconds since the epoch; null without one. */
  oldestVerifiedMs(modelRef: string | undefined): number | null {
    return this.#verificationsOf(modelRef)?.oldestMs ?? null;
  }

  /** The shards whose handle another key than `kid` signed, in any state. Visits no other shard. */
  signedByOthers(kid: string): Shard[] {
    return [...this.#byKey].flatMap(([key, shards]) => (key === kid ? [] : [...shards]));
  }

  /** Whether a key signed the current handle of a shard, corrupt shards included. */
  readonly isKeyInUse = (kid: string): boolean => this.#byKey.has(kid);

  /**
   * Finds the page in O(log n + its length). With a model and a state, also skips shards of the smaller of the two sets; with
   * a GPU, also those of others. @throws WorkerError INVALID_PARAMS
   */
  page({ modelRef, state, gpuUuid, limit, cursor }: ShardFilter): ShardPage {
    const after = cursor === undefined ? '' : readCursor(cursor);
    const page: Shard[] = [];
    const [ofModel, inState] = [this.#ofModel(modelRef), state === undefined ? this.#byId : this.#byState[state]];
    for (const shard of (ofModel.size < inState.size ? ofModel : inState).after(after)) {
      if (modelRef !== undefined && shard.identity.modelRef !== modelRef) continue;
      if (state !== undefined && shard.state !== state) continue;
      if (gpuUuid !== undefined && shard.memory.uuid !== gpuUuid) continue;
      const last = page.at(-1);
      if (page.length === limit && last !== undefined)
        return { shards: snapshots(page), nextCursor: writeCursor(last) };
      page.push(shard);
    }
    return { shards: snapshots(page), nextCursor: null };
  }

  get countByState(): Readonly<Record<ShardState, number>> {
    const { receiving, sealing, sealed, corrupt, releasing } = this.#byState;
    return {
      receiving: receiving.size,
      sealing: sealing.size,
      sealed: sealed.size,
      corrupt: corrupt.size,
      releasing: releasing.size,
    };
  }

  readonly #onPhase = (shard: Shard, before: PhaseKeys): void => {
    // Its cost grows with the number of shards, and a verification keeps the state.
    if (before.state !== shard.state) {
      this.#byState[before.state].delete(shard.identity.shardId);
      this.#byState[shard.state].set(shard.identity.shardId, shard);
    }
    this.#unindex(shard, before);
    this.#index(shard);
    this.#onChange();
    for (const observe of this.observers) observe(shard, before);
  };

  #ofModel(modelRef: string | undefined): SortedMap<Shard> {
    return modelRef === undefined ? this.#byId : (this.#byModel.get(modelRef) ?? noShards);
  }

  #verificationsOf(modelRef: string | undefined): VerificationOrder | undefined {
    return modelRef === undefined ? this.#verifications : this.#byModel.get(modelRef)?.verifications;
  }

  #index(shard: Shard): void {
    const { kid } = shard;
    this.#count(shard, shard, 1);
    const verifiedAt = verifiedAtOf(shard);
    if (verifiedAt !== undefined) {
      for (const order of this.#ordersOf(shard)) order.add(shard, verifiedAt);
    }
    if (kid === undefined) return;
    const signed = this.#byKey.get(kid) ?? new Set();
    this.#byKey.set(kid, signed.add(shard));
  }

  #unindex(shard: Shard, before: PhaseKeys): void {
    const { kid } = before;
    this.#count(shard, before, -1);
    const verifiedAt = verifiedAtOf(before);
    if (verifiedAt !== undefined) {
      for (const order of this.#ordersOf(shard)) order.remove(shard, verifiedAt);
    }
    if (kid === undefined) return;
    const signed = this.#byKey.get(kid);
    signed?.delete(shard);
    if (signed?.size === 0) this.#byKey.delete(kid);
  }

  #count(shard: Shard, { state }: PhaseKeys, step: 1 | -1): void {
    const model = this.#byModel.get(shard.identity.modelRef);
    if (model === undefined) return;
    const wasReady = model.isReady;
    model.count(shard, state, step);
    this.#readyModels += Number(model.isReady) - Number(wasReady);
  }

  #ordersOf({ identity }: Shard): VerificationOrder[] {
    const ofModel = this.#byModel.get(identity.modelRef)?.verifications;
    return ofModel === undefined ? [] : [this.#verifications, ofModel];
  }
}

const noShards = new SortedMap<Shard>();

/** When a sealed shard was last verified. Undefined in any other state, also for a corrupt shard with its seal. */
const verifiedAtOf = ({ state, seal }: PhaseKeys): Moment | undefined =>
  state === 'sealed' ? seal?.verifiedAt : undefined;

const snapshots = (shards: readonly Shard[]): ShardSnapshot[] => shards.map((shard) => shard.snapshot());

const writeCursor = (shard: Shard): string => Buffer.from(shard.identity.shardId).toString('base64url');

function readCursor(cursor: string): string {
  const shardId = Buffer.from(cursor, 'base64url').toString('utf8');
  if (/^[A-Za-z0-9-]{1,256}$/.test(shardId)) return shardId;
  throw new WorkerError('INVALID_PARAMS', 'cursor is invalid: use the next_cursor of an earlier page');
}
