import type { LostShard } from '../state/lost_shards.js';
import type { Reason } from '../state/reason.js';
import type { ModelShards, Shards } from '../state/shards.js';

/** How much of a model is resident. The same object until a shard of the model changes. */
export interface ModelReadiness {
  readonly modelRef: string;
  readonly ready: boolean;
  readonly totalShards: number;
  readonly residentShards: number;
  /** The least recent verification of its sealed shards, in milliseconds since the epoch; null if none is sealed. */
  readonly oldestVerifiedAtMs: number | null;
}

/** The readiness of a model, and its changes when the readiness was computed. */
const cache = new WeakMap<ModelShards, { readonly changes: number; readonly readiness: ModelReadiness }>();

/** The readiness of the models of which a shard exists. Visits only the shards of models that changed. */
export const residentModels = (shards: Shards, modelRef: string | undefined): ModelReadiness[] =>
  shards.models(modelRef).map((model) => {
    const cached = cache.get(model);
    if (cached?.changes === model.changes) return cached.readiness;
    const readiness = readinessOf(model);
    cache.set(model, { changes: model.changes, readiness });
    return readiness;
  });

/** The models of which only lost shards are known. */
export function lostModels(present: readonly ModelReadiness[], lost: readonly LostShard[]): ModelReadiness[] {
  if (lost.length === 0) return [];
  const known = new Set(present.map(({ modelRef }) => modelRef));
  const gone = new Map(lost.map(({ modelRef, totalShards }) => [modelRef, totalShards]));
  return [...gone]
    .filter(([modelRef]) => !known.has(modelRef))
    .map(([modelRef, totalShards]) => ({ ...noShards, modelRef, totalShards }));
}

const noShards = { ready: false, residentShards: 0, oldestVerifiedAtMs: null };

/** Why no model is ready; empty if one is. `modelRef` is the model that the client asked about. */
export function missingModels(models: readonly ModelReadiness[], modelRef: string | undefined): Reason[] {
  if (models.some((model) => model.ready)) return [];
  if (modelRef !== undefined && models.length === 0) {
    return [{ code: 'MODEL_NOT_RESIDENT', detail: 'No shard of this model is resident' }];
  }
  return [{ code: 'NO_MODEL_READY', detail: 'No model has all its shards sealed' }];
}

/** The least recent verification of any sealed shard, in milliseconds since the epoch; null if none is sealed. */
export const oldestVerification = (models: readonly ModelReadiness[]): number | null =>
  models.reduce<number | null>((oldest, { oldestVerifiedAtMs }) => earlier(oldest, oldestVerifiedAtMs), null);

const earlier = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.min(a, b);

/** A model is ready if each of its shard indexes has a sealed shard, and none of its shards is corrupt. */
function readinessOf(model: ModelShards): ModelReadiness {
  let [sealedTotal, otherTotal, isIntact] = [0, 0, true];
  let oldestVerifiedAtMs: number | null = null;
  for (const { phase, identity } of model.values()) {
    if (phase.state === 'sealed') {
      sealedTotal = Math.max(sealedTotal, identity.totalShards);
      oldestVerifiedAtMs = earlier(oldestVerifiedAtMs, phase.seal.verifiedAt.wallMs);
    } else {
      otherTotal = Math.max(otherTotal, identity.totalShards);
      isIntact &&= phase.state !== 'corrupt';
    }
  }
  // While some shards are sealed, one that still arrives does not decide how many shards the model has.
  const totalShards = sealedTotal || otherTotal;
  const resident = new Set<number>();
  for (const { state, identity } of model.values()) {
    if (state === 'sealed' && identity.totalShards === totalShards) resident.add(identity.shardIndex);
  }
  const ready = isIntact && resident.size === totalShards;
  return { modelRef: model.modelRef, ready, totalShards, residentShards: resident.size, oldestVerifiedAtMs };
}
