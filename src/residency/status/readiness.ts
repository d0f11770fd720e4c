import type { Actor } from '../../audit/actor.js';
import type { DriverKind } from '../../seal/handle.js';
import type { Moment } from '../../vram/moment.js';
import type { ScrubStatus } from '../integrity/scrubber.js';
import type { WorkerPhase } from '../state/lifecycle.js';
import type { LostShard } from '../state/lost_shards.js';
import type { Reason } from '../state/reason.js';
import type { Shard } from '../state/shard.js';
import type { Signer } from '../state/signer.js';
import type { ShardSnapshot } from '../state/snapshot.js';
import type { WorkerState } from '../state/worker_state.js';
import { signAttestation } from './attestation.js';
import { blockersOf } from './blockers.js';
import { type ModelReadiness, missingModels, modelsOf, oldestVerification } from './models.js';

export interface ReadyQuery {
  /** Restricts the report to one model. */
  readonly modelRef?: string;
  readonly withHandles: boolean;
  /** When the request came in. */
  readonly askedAt: Moment;
  /** Verifies shards first whose last verification is older, counted from `askedAt`. */
  readonly maxAgeSeconds?: number;
  /** The caller may start at most one round of verifications a minute. Otherwise it gets the last known result. */
  readonly limited?: boolean;
  /** The actor in the audit entries of verifications. */
  readonly actor: Actor;
  /** Requests a signed attestation with this nonce. */
  readonly nonce?: string;
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
  /** Shards that a restart could not restore, until a client commits or releases them. */
  readonly lost: readonly LostShard[];
  readonly attestation: string | null;
  readonly scrub: ScrubStatus;
  /** The least recent verification of any sealed shard; null if none is sealed. */
  readonly oldestVerifiedAtMs: number | null;
}

/** The inputs of a report. */
export interface ReadyFacts {
  readonly signer: Signer;
  readonly phase: WorkerPhase;
  /** The shards that the query asks about. */
  readonly shards: readonly Shard[];
  readonly blockers: readonly Reason[];
  readonly lost: readonly LostShard[];
  readonly scrub: ScrubStatus;
}

/** Collects the facts now. `unverified` names shards that a verification for this query could not verify. */
export function readyFacts(
  worker: WorkerState,
  modelRef: string | undefined,
  unverified: readonly Reason[],
  scrub: ScrubStatus,
): ReadyFacts {
  const { signer, lifecycle, lostShards } = worker;
  const blockers = [...blockersOf(worker), ...unverified];
  const lost = [...lostShards.byId.values()].filter((shard) => modelRef === undefined || shard.modelRef === modelRef);
  // Memory of a lost driver is no longer resident.
  const shards = lifecycle.lossError === undefined ? worker.shards.ofModel(modelRef) : [];
  return { signer, phase: lifecycle.phase, shards, blockers, lost, scrub };
}

/** Reports whether a model is ready and nothing blocks the worker. With a nonce, signs the report. Hashes nothing. */
export function readyReport(facts: ReadyFacts, query: ReadyQuery): ReadyReport {
  const { signer, phase, shards, lost, scrub } = facts;
  const models = modelsOf(shards, lost);
  const reasons = reasonsOf(facts, missingModels(models, query.modelRef));
  const ready = reasons.length === 0;
  const sealed = shards.flatMap((shard) => (shard.phase.state === 'sealed' ? [{ shard, seal: shard.phase.seal }] : []));
  const { nonce, withHandles } = query;
  return {
    ready,
    state: phase,
    workerId: signer.workerId,
    bootId: signer.bootId,
    driver: signer.driver,
    reasons,
    models,
    handles: withHandles ? sealed.map(({ shard, seal }) => ({ handle: seal.handle, shard: shard.snapshot() })) : [],
    lost,
    attestation: nonce === undefined ? null : signAttestation(signer, { ...query, nonce }, ready, sealed),
    scrub,
    oldestVerifiedAtMs: oldestVerification(shards),
  };
}

/** A lost shard blocks its own model only: it is a reason if no model is ready. */
function reasonsOf({ blockers, shards, lost }: ReadyFacts, missing: readonly Reason[]): Reason[] {
  const absent = missing.length === 0 ? [] : [...missing, ...lost.map(lostReason)];
  return [...blockers, ...shards.flatMap(corruptReason), ...absent];
}

function corruptReason({ identity, phase }: Shard): Reason[] {
  if (phase.state !== 'corrupt') return [];
  return [{ code: 'SHARD_CORRUPT', detail: `Shard ${identity.shardId} is corrupt: ${phase.repairStatus}` }];
}

const lostReason = ({ shardId, modelRef, detail }: LostShard): Reason => ({
  code: 'SHARD_LOST',
  detail: `Shard ${shardId} of ${modelRef} is lost: ${detail}`,
});
