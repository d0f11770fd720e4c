import { AuditPage } from './audit.js';
import { Commit, CommitBody } from './commit.js';
import { Reason } from './common.js';
import { Device, DeviceList } from './device.js';
import { HandleBody, HandleClaims, HandleVerdict } from './handle.js';
import { Jwk, JwkSet } from './keys.js';
import { Lease, LeaseList } from './lease.js';
import { overviewSchemas } from './overview.js';
import {
  Plan,
  PlanBody,
  PlannedShard,
  PlanRefusal,
  RenewBody,
  Reservation,
  ResolvedFile,
  ResolvedModel,
} from './plan.js';
import { Problem } from './problem.js';
import { pullSchemas } from './pull.js';
import { Health, Liveness, LostShard, ModelReadiness, Readiness, Scrub, ShardHandle } from './ready.js';
import { CorruptRange, EmptyBody, Shard, ShardList, Verification } from './shard.js';
import { FileSource, HfCacheSource, HfSource, HttpSource, OciSource, S3Source, Source } from './source.js';

/** Every named schema, each after those it refers to: the components of the OpenAPI document. */
export const components = [
  Reason,
  Problem,
  Device,
  DeviceList,
  FileSource,
  HttpSource,
  HfSource,
  HfCacheSource,
  OciSource,
  S3Source,
  Source,
  PlanBody,
  PlannedShard,
  Reservation,
  PlanRefusal,
  ResolvedFile,
  ResolvedModel,
  Plan,
  RenewBody,
  CorruptRange,
  Shard,
  ShardList,
  Verification,
  EmptyBody,
  Lease,
  LeaseList,
  CommitBody,
  Commit,
  ...pullSchemas,
  ModelReadiness,
  LostShard,
  ShardHandle,
  Scrub,
  Readiness,
  ...overviewSchemas,
  AuditPage,
  Liveness,
  Health,
  HandleBody,
  HandleClaims,
  HandleVerdict,
  Jwk,
  JwkSet,
];

/** Bodies that a request may omit. */
export const optionalBodies = [RenewBody, EmptyBody];
