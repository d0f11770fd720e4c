import type { LostShard } from '../state/lost_shards.js';
import type { ModelShards } from '../state/model_shards.js';
import type { Reason } from '../state/reason.js';
import type { Shards } from '../state/shards.js';

/** How much of a model is resident. The same object until a shard of the model changes. */
export interface ModelReadiness {
  readonly modelRef: string;
  readonly ready: boolean;
  readonly totalShards: number;
  readonly residentShards: number;
}

/** The readiness of a model, and its changes when the readiness was computed. */
const cache = new WeakMap<ModelShards, { readonly changes: number; readonly readiness: ModelReadiness }>();

/** The readiness of the models of which a shard exists. Visits no shard. */
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

const noShards = { ready: false, residentShards: 0 };

/** Why no model is ready; empty if one is. `modelRef` is the model that the client asked about. */
export function missingModels(models: readonly ModelReadiness[], modelRef: string | undefined): Reason[] {
  if (models.some((model) => model.ready)) return [];
  if (modelRef !== undefined && models.length === 0) {
    return [{ code: 'MODEL_NOT_RESIDENT', detail: 'No shard of this model is resident' }];
  }
  return [{ code: 'NO_MODEL_READY', detail: 'No model has all its shards sealed' }];
}

const readinessOf = ({ modelRef, isReady: ready, totalShards, residentShards }: ModelShards): ModelReadiness => ({
  modelRef,
  ready,
  totalShards,
  residentShards,
});
