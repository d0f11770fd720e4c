import type { LostShard } from '../state/lost_shards.js';
import type { Reason } from '../state/reason.js';
import type { Shard } from '../state/shard.js';

/** How much of a model is resident. */
export interface ModelReadiness {
  readonly modelRef: string;
  readonly ready: boolean;
  readonly totalShards: number;
  readonly residentShards: number;
}

/** The models of these shards, and the models of which only lost shards are known. */
export const modelsOf = (shards: readonly Shard[], lost: readonly LostShard[]): ModelReadiness[] => [
  ...residentModels(shards),
  ...lostModels(shards, lost),
];

/** Why no model is ready; empty if one is. `modelRef` is the model that the client asked about. */
export function missingModels(models: readonly ModelReadiness[], modelRef: string | undefined): Reason[] {
  if (models.some((model) => model.ready)) return [];
  if (modelRef !== undefined && models.length === 0) {
    return [{ code: 'MODEL_NOT_RESIDENT', detail: 'No shard of this model is resident' }];
  }
  return [{ code: 'NO_MODEL_READY', detail: 'No model has all its shards sealed' }];
}

/** The least recent verification of any sealed shard, in milliseconds since the epoch; null if none is sealed. */
export const oldestVerification = (shards: readonly Shard[]): number | null =>
  shards.reduce<number | null>((oldest, { phase }) => {
    if (phase.state !== 'sealed') return oldest;
    return Math.min(oldest ?? Number.POSITIVE_INFINITY, phase.seal.verifiedAt.wallMs);
  }, null);

function residentModels(shards: readonly Shard[]): ModelReadiness[] {
  const byModel = new Map<string, Shard[]>();
  for (const shard of shards) {
    const ofModel = byModel.get(shard.identity.modelRef);
    if (ofModel === undefined) byModel.set(shard.identity.modelRef, [shard]);
    else ofModel.push(shard);
  }
  return [...byModel].map(([modelRef, ofModel]) => readinessOf(modelRef, ofModel));
}

/** A model is ready if each of its shard indexes has a sealed shard, and none of its shards is corrupt. */
function readinessOf(modelRef: string, shards: readonly Shard[]): ModelReadiness {
  // While some shards are sealed, one that still arrives does not decide how many shards the model has.
  const sealed = shards.filter((shard) => shard.state === 'sealed');
  const totals = (sealed.length > 0 ? sealed : shards).map((shard) => shard.identity.totalShards);
  const totalShards = Math.max(...totals);
  const ofThisTotal = sealed.filter((shard) => shard.identity.totalShards === totalShards);
  const resident = new Set(ofThisTotal.map((shard) => shard.identity.shardIndex));
  const isIntact = shards.every((shard) => shard.state !== 'corrupt');
  return { modelRef, ready: isIntact && resident.size === totalShards, totalShards, residentShards: resident.size };
}

function lostModels(shards: readonly Shard[], lost: readonly LostShard[]): ModelReadiness[] {
  const present = new Set(shards.map(({ identity }) => identity.modelRef));
  const gone = new Map(lost.map(({ modelRef, totalShards }) => [modelRef, totalShards]));
  return [...gone]
    .filter(([modelRef]) => !present.has(modelRef))
    .map(([modelRef, totalShards]) => ({ modelRef, ready: false, totalShards, residentShards: 0 }));
}
