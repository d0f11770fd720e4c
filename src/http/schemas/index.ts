import { Commit, CommitBody } from './commit.js';
import { Reason } from './common.js';
import { Device, DeviceList } from './device.js';
import { HandleBody, HandleClaims, HandleVerdict } from './handle.js';
import { Jwk, JwkSet } from './keys.js';
import { Plan, PlanBody, PlannedShard, PlanRefusal, RenewBody, Reservation } from './plan.js';
import { Problem } from './problem.js';
import { Health, Liveness, LostShard, ModelReadiness, Readiness, Scrub, StandingHandle } from './ready.js';
import { CorruptRange, EmptyBody, Shard, ShardList, Verification } from './shard.js';

/** Every schema with a name of its own, in the order of reference: the components of the OpenAPI document. */
export const components = [
  Reason,
  Problem,
  Device,
  DeviceList,
  PlanBody,
  PlannedShard,
  Reservation,
  PlanRefusal,
  Plan,
  RenewBody,
  CorruptRange,
  Shard,
  ShardList,
  Verification,
  EmptyBody,
  CommitBody,
  Commit,
  ModelReadiness,
  LostShard,
  StandingHandle,
  Scrub,
  Readiness,
  Liveness,
  Health,
  HandleBody,
  HandleClaims,
  HandleVerdict,
  Jwk,
  JwkSet,
];

/** Bodies that a request may leave out. */
export const optionalBodies = [RenewBody, EmptyBody];
