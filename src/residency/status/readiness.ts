import type { Actor } from '../../audit/actor.js';
import { signJws } from '../../seal/jws.js';
import type { ScrubStatus } from '../integrity/scrubber.js';
import type { LostShard } from '../state/lost_shards.js';
import type { Shard } from '../state/shard.js';
import type { DriverKind, Reason, Signer, WorkerPhase } from '../state/signer.js';
import type { ShardSnapshot } from '../state/snapshot.js';
import type { WorkerState } from '../state/worker_state.js';
import { blockersOf } from './blockers.js';

export interface ReadyQuery {
  /** Narrows the answer to one model. */
  readonly modelRef?: string;
  readonly withHandles: boolean;
  /** Shards whose last verification is older are verified first. */
  readonly maxAgeSeconds?: number;
  /** Asked for by one who may start little work: beyond that, what is known is said as it is. */
  readonly sparing?: boolean;
  /** Who asks for that. */
  readonly actor: Actor;
  /** Asks for a signed attestation that can not be replayed. */
  readonly nonce?: string;
}

export interface ModelReadiness {
  readonly modelRef: string;
  readonly ready: boolean;
  readonly totalShards: number;
  readonly residentShards: number;
}

export interface ReadyReport {
  readonly ready: boolean;
  readonly state: WorkerPhase;
  readonly workerId: string;
  readonly bootId: string;
  readonly driver: DriverKind;
  readonly reasons: readonly Reason[];
  readonly models: readonly ModelReadiness[];
  readonly handles: readonly { readonly handle: string; readonly shard: ShardSnapshot }[];
  /** What a restart could not bring back: said until somebody commits or releases it, in whosever way it is. */
  readonly lost: readonly LostShard[];
  readonly attestation: string | null;
  readonly scrub: ScrubStatus;
  /** When the shard was last found right that has waited longest for it; null where none is sealed. */
  readonly oldestVerifiedAtMs: number | null;
}

/** What the report is made of: the shards asked about, and what stands in the worker's own way. */
export interface ReadyFacts {
  readonly signer: Signer;
  readonly state: WorkerPhase;
  readonly records: readonly Shard[];
  readonly blockers: readonly Reason[];
  /** Shards that a restart could not bring back. */
  readonly lost: readonly LostShard[];
  readonly scrub: ScrubStatus;
}

/** What is known now; `unverified` stands in the way beside what does anyway. */
export function readyFacts(
  inventory: WorkerState,
  modelRef: string | undefined,
  unverified: readonly Reason[],
  scrub: ScrubStatus,
): ReadyFacts {
  const { signer, state, shards, lostShards: ledger, driverHealth: heartbeat } = inventory;
  const obstacles = [...blockersOf(inventory), ...unverified];
  const lost = [...ledger.byId.values()].filter((shard) => modelRef === undefined || shard.modelRef === modelRef);
  // What lay in a device that is lost is resident no more.
  const records = heartbeat.lossError === undefined ? shards.ofModel(modelRef) : [];
  return { signer, state, records, blockers: obstacles, lost, scrub };
}

/** Says whether at least one model is ready and nothing is wrong, and attests it. Reads what is known; hashes nothing. */
export function readyReport(
  { signer, state, records, blockers: obstacles, lost, scrub }: ReadyFacts,
  query: ReadyQuery,
): ReadyReport {
  const models = [...modelsOf(records), ...lostModels(records, lost)];
  const missing = missingModels(models, query.modelRef);
  // What is lost is in the way of its own model alone: of the answer only where no model is ready.
  const absent = missing.length === 0 ? [] : [...missing, ...lostShards(lost)];
  const reasons = [...obstacles, ...corruptShards(records), ...absent];
  const ready = reasons.length === 0;
  const sealed = records.flatMap((record) =>
    record.phase.state === 'sealed' ? [{ record, seal: record.phase.seal }] : [],
  );
  const handles = sealed.map(({ record, seal }) => ({ handle: seal.handle, shard: record.snapshot() }));
  const shards = sealed.map(({ seal }) => ({
    jti: seal.jti,
    last_verified_at: new Date(seal.lastVerifiedAtMs).toISOString(),
  }));
  const { workerId, bootId, driver, key } = signer;
  const iat = Math.floor(Date.now() / 1000);
  const claims = { iss: workerId, boot_id: bootId, nonce: query.nonce, iat, ready, shards };
  return {
    ready,
    state,
    workerId,
    bootId,
    driver,
    reasons,
    models,
    handles: query.withHandles ? handles : [],
    lost,
    attestation: query.nonce === undefined ? null : signJws('vram-attestation+jws', claims, key),
    scrub,
    oldestVerifiedAtMs: oldestVerification(records),
  };
}

/** A model is ready when each of its shard indexes has a sealed shard; one that still loads holds no other back. */
function modelsOf(records: readonly Shard[]): ModelReadiness[] {
  const byModel = new Map<string, Shard[]>();
  for (const record of records) {
    const shards = byModel.get(record.identity.modelRef);
    if (shards === undefined) byModel.set(record.identity.modelRef, [record]);
    else shards.push(record);
  }
  return [...byModel].map(([modelRef, shards]) => {
    // What only arrives does not say how many shards a model has while others are sealed.
    const sealed = shards.filter((record) => record.state === 'sealed');
    const totals = (sealed.length > 0 ? sealed : shards).map((record) => record.identity.totalShards);
    const totalShards = Math.max(...totals);
    const resident = new Set(
      shards
        .filter((record) => record.state === 'sealed' && record.identity.totalShards === totalShards)
        .map((record) => record.identity.shardIndex),
    );
    const whole = shards.every((record) => record.state !== 'corrupt');
    return { modelRef, ready: whole && resident.size === totalShards, totalShards, residentShards: resident.size };
  });
}

/** When the sealed shard was verified that has waited longest. */
export const oldestVerification = (records: readonly Shard[]): number | null =>
  records.reduce<number | null>((oldest, { phase }) => {
    if (phase.state !== 'sealed') return oldest;
    return Math.min(oldest ?? Number.POSITIVE_INFINITY, phase.seal.lastVerifiedAtMs);
  }, null);

function corruptShards(records: readonly Shard[]): Reason[] {
  return records.flatMap(({ identity, phase }) => {
    if (phase.state !== 'corrupt') return [];
    return [
      { code: 'SHARD_CORRUPT', detail: `shard ${identity.shardId} failed its verification; ${phase.repairStatus}` },
    ];
  });
}

function lostShards(lost: readonly LostShard[]): Reason[] {
  return lost.map(({ shardId, modelRef, detail }) => ({
    code: 'SHARD_LOST',
    detail: `shard ${shardId} of ${modelRef} is lost: ${detail}`,
  }));
}

/** Models of which nothing but the loss is known. */
function lostModels(records: readonly Shard[], lost: readonly LostShard[]): ModelReadiness[] {
  const here = new Set(records.map(({ identity }) => identity.modelRef));
  const gone = new Map(lost.map(({ modelRef, totalShards }) => [modelRef, totalShards]));
  return [...gone]
    .filter(([modelRef]) => !here.has(modelRef))
    .map(([modelRef, totalShards]) => ({ modelRef, ready: false, totalShards, residentShards: 0 }));
}

function missingModels(models: readonly ModelReadiness[], modelRef: string | undefined): Reason[] {
  if (models.some((model) => model.ready)) return [];
  if (modelRef !== undefined && models.length === 0) {
    return [{ code: 'MODEL_NOT_RESIDENT', detail: 'no shard of this model is here' }];
  }
  return [{ code: 'NO_MODEL_READY', detail: 'no model has all its shards sealed' }];
}
