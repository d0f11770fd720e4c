import type { Actor } from '../../audit/actor.js';
import type { DriverKind } from '../../seal/handle.js';
import type { Moment } from '../../vram/moment.js';
import type { ScrubStatus } from '../integrity/scrubber.js';
import { shardsBeyond } from '../integrity/verifier.js';
import type { WorkerPhase } from '../state/lifecycle.js';
import type { LostShard } from '../state/lost_shards.js';
import type { Reason } from '../state/reason.js';
import type { WorkerState } from '../state/worker_state.js';
import type { AttestedShard } from './attestation.js';
import { blockersOf } from './blockers.js';
import { lostModels, type ModelReadiness, missingModels, residentModels } from './models.js';

export interface ReadyQuery {
  /** Restricts the report to one model. */
  readonly modelRef?: string;
  readonly withHandles: boolean;
  /** When the request came in. */
  readonly askedAt: Moment;
  /** Verifies shards first whose last verification is older, counted from `askedAt`. */
  readonly maxAgeSeconds?: number;
  /** The caller may start at most one round of verifications a minute, together with all other limited callers. */
  readonly limited?: boolean;
  /** The actor in the audit entries of verifications. */
  readonly actor: Actor;
  /** The answer will be attested with this nonce, so the report needs the sealed shards. */
  readonly nonce?: string;
}

export interface ReadyReport {
  /** The revision of the state that this report describes. */
  readonly revision: number;
  readonly ready: boolean;
  readonly state: WorkerPhase;
  readonly workerId: string;
  readonly bootId: string;
  readonly driver: DriverKind;
  readonly reasons: readonly Reason[];
  readonly models: readonly ModelReadiness[];
  /** The sealed shards, unless the query leaves them out. */
  readonly handles: readonly AttestedShard[];
  /** The sealed shards for an attestation, by id. Empty if the query has neither handles nor a nonce. */
  readonly sealed: readonly AttestedShard[];
  /** A shard could not be verified again as the query asks, so the report does not answer other queries. */
  readonly isTooOld: boolean;
  /** Shards that a restart could not restore, until a client commits or releases them. */
  readonly lost: readonly LostShard[];
  readonly scrub: ScrubStatus;
  /** The least recent verification of any sealed shard; null if none is sealed. */
  readonly oldestVerifiedAtMs: number | null;
}

/** Reports whether a model is ready and nothing blocks the worker, at the moment of this call. */
export function readyReport(worker: WorkerState, scrub: ScrubStatus, query: ReadyQuery): ReadyReport {
  const { signer, lifecycle, shards } = worker;
  const { nonce, withHandles, modelRef } = query;
  const { phase, revision, lossError } = lifecycle;
  const resident = residentModelsOf(worker, modelRef);
  const lost = [...worker.lostShards.byId.values()].filter((shard) => isOf(modelRef, shard));
  const models = [...resident, ...lostModels(resident, lost)];
  const sealed = withHandles || nonce !== undefined ? sealedShards(worker, modelRef) : [];
  const tooOld = tooOldReasons(worker, query);
  const reasons = [...blockersOf(worker), ...tooOld, ...corruptReasons(worker, modelRef)];
  const missing = missingModels(models, modelRef);
  // A lost shard blocks its own model only: it is a reason if no model is ready.
  if (missing.length > 0) reasons.push(...missing, ...lost.map(lostReason));
  return {
    revision,
    ready: reasons.length === 0,
    state: phase,
    workerId: signer.workerId,
    bootId: signer.bootId,
    driver: signer.driver,
    reasons,
    models,
    handles: withHandles ? sealed : [],
    sealed,
    isTooOld: tooOld.length > 0,
    lost,
    scrub,
    oldestVerifiedAtMs: lossError === undefined ? shards.oldestVerifiedMs(modelRef) : null,
  };
}

/** Whether a report about this model, or about all, could be ready now. A ready model has no corrupt shard. Visits none. */
export const couldBeReady = (worker: WorkerState, modelRef: string | undefined): boolean =>
  worker.shards.isReady(modelRef) &&
  blockersOf(worker).length === 0 &&
  (modelRef !== undefined || worker.shards.countByState.corrupt === 0);

/** The models about which a report would be ready now, in the order of their names. */
export const readyModels = (worker: WorkerState): string[] =>
  blockersOf(worker).length > 0
    ? []
    : residentModelsOf(worker, undefined)
        .filter(({ ready }) => ready)
        .map(({ modelRef }) => modelRef);

/** Memory of a lost driver is no longer resident. */
const residentModelsOf = ({ lifecycle, shards }: WorkerState, modelRef: string | undefined): ModelReadiness[] =>
  lifecycle.lossError === undefined ? residentModels(shards, modelRef) : [];

function sealedShards({ lifecycle, shards }: WorkerState, modelRef: string | undefined): AttestedShard[] {
  if (lifecycle.lossError !== undefined) return [];
  const sealed: AttestedShard[] = [];
  for (const shard of shards.ofModel(modelRef)) {
    if (shard.phase.state === 'sealed') sealed.push({ seal: shard.phase.seal, shard: shard.snapshot() });
  }
  return sealed;
}

/** A shard that could not be verified, or was sealed just now with an older proof, does not meet the question. */
function tooOldReasons({ shards }: WorkerState, { maxAgeSeconds, ...query }: ReadyQuery): Reason[] {
  if (maxAgeSeconds === undefined) return [];
  return shardsBeyond(shards, { ...query, maxAgeSeconds }).map(({ identity }) => ({
    code: 'VERIFICATION_FAILED',
    detail: `Shard ${identity.shardId} could not be verified`,
  }));
}

function corruptReasons({ lifecycle, shards }: WorkerState, modelRef: string | undefined): Reason[] {
  if (lifecycle.lossError !== undefined) return [];
  return shards.inState('corrupt').flatMap(({ identity, phase }) => {
    if (phase.state !== 'corrupt' || !isOf(modelRef, identity)) return [];
    return { code: 'SHARD_CORRUPT', detail: `Shard ${identity.shardId} is corrupt: ${phase.repairStatus}` };
  });
}

const lostReason = ({ shardId, modelRef, detail }: LostShard): Reason => ({
  code: 'SHARD_LOST',
  detail: `Shard ${shardId} of ${modelRef} is lost: ${detail}`,
});

const isOf = (modelRef: string | undefined, shard: { readonly modelRef: string }): boolean =>
  modelRef === undefined || shard.modelRef === modelRef;
