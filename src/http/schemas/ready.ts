import Type, { type Static } from 'typebox';
import { scrubStates } from '../../residency/integrity/scrubber.js';
import { ModelRef, Nonce, Reason, ShardId, TotalShards } from './common.js';
import { Bytes, NullableInstant, namedSchema, oneOf, QueryBoolean, QueryInteger, strictObject } from './make.js';
import { refTo } from './ref.js';
import { Driver, Shard } from './shard.js';

/** The description of `state`. */
export const workerState =
  '`starting`: the devices are not up yet. `loading`: the worker restores the shards of the previous process. `ready`: it ' +
  'has started, even without a ready model. `draining`: it is shutting down. `stopped`: it has stopped, or the driver is lost.';

export const ModelReadiness = namedSchema(
  'ModelReadiness',
  {
    model_ref: ModelRef,
    ready: Type.Boolean({ description: 'Whether all shards of the model are sealed and intact.' }),
    total_shards: TotalShards,
    resident_shards: Type.Integer({ minimum: 0, description: 'Number of indexes with a sealed shard.' }),
  },
  'Readiness of one model.',
);

export const ShardHandle = namedSchema(
  'ShardHandle',
  { handle: Type.String({ description: 'The handle: a compact JWS.' }), shard: refTo(Shard) },
  'A current handle and its shard.',
);

export const LostShard = namedSchema(
  'LostShard',
  { shard_id: ShardId, model_ref: ModelRef, detail: Type.String({ description: 'Why it is lost, in words.' }) },
  'A shard that a restart could not restore.',
);

export const Scrub = namedSchema(
  'Scrub',
  {
    state: oneOf(
      scrubStates,
      'Current state. `paused`: the worker verifies only on request. `off`: only on request and after a lease has ended.',
    ),
    period_seconds: Type.Integer({
      minimum: 0,
      description: 'Period in seconds in which each shard is verified at least once. 0 if it is off.',
    }),
    bytes_per_second: Bytes('Rate limit in bytes per second.'),
    shards_done: Type.Integer({ minimum: 0, description: 'Shards finished in the current or last pass.' }),
    shards_total: Type.Integer({ minimum: 0, description: 'Shards in that pass.' }),
    last_pass_finished_at: NullableInstant('When the last pass ended. Null before the end of the first.'),
    oldest_verified_at: NullableInstant(
      'The earliest `last_verified_at` of all sealed shards. Null if there are none.',
    ),
    overdue_shards: Type.Integer({
      minimum: 0,
      description: 'Sealed shards whose last verification started more than a period ago.',
    }),
    reasons: Type.Array(refTo(Reason), {
      description: '`SCRUB_OVERDUE` if a shard is overdue; otherwise empty. It does not change `ready`.',
    }),
  },
  'Progress of the background verification.',
);

export const Readiness = namedSchema(
  'Readiness',
  {
    ready: Type.Boolean({ description: 'Whether at least one model is ready and nothing blocks the worker.' }),
    state: oneOf(['starting', 'loading', 'ready', 'draining', 'stopped'], workerState),
    worker_id: Type.String({ description: 'Id of the worker.' }),
    boot_id: Type.String({
      description: "Id of the worker's process, new at every start. Handles of another `boot_id` are stale.",
    }),
    driver: Driver,
    nccl_group_id: Type.Null({ description: 'Reserved. Always null.' }),
    reasons: Type.Array(refTo(Reason), {
      description:
        'Why the worker is not ready. Empty only if `ready` is true. The codes are `STARTING`, `LOADING`, `DRAINING`, ' +
        '`STOPPED`, `AUDIT_UNAVAILABLE`, `CUDA_ERROR`, `SHARD_CORRUPT`, `SHARD_LOST`, `VERIFICATION_FAILED`, ' +
        '`MODEL_NOT_RESIDENT` and `NO_MODEL_READY`. `SHARD_LOST` is a reason only if no model is ready.',
    }),
    models: Type.Array(refTo(ModelReadiness), { description: 'The requested model, or all models.' }),
    handles: Type.Array(refTo(ShardHandle), {
      description: 'Every sealed shard of these models. Empty if `handles` is false.',
    }),
    lost: Type.Array(refTo(LostShard), {
      description: 'Shards that a restart could not restore. Commit or release one to remove it.',
    }),
    scrub: refTo(Scrub),
    attestation: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description:
        'Compact JWS over this response, the query and the time at which the request came in. It can be neither replayed ' +
        'nor moved to another query. Null without `nonce`.',
    }),
  },
  'The sealed shards, each with the start of its last verification.',
);
export type ReadinessJson = Static<typeof Readiness>;

export const readyQuery = strictObject({
  model_ref: Type.Optional(ModelRef),
  handles: Type.Optional(QueryBoolean('False omits the handles. Default: true.')),
  max_age_seconds: Type.Optional(
    QueryInteger(
      { minimum: 1, maximum: 1_000_000_000 },
      'Maximum age in seconds. The worker first verifies every shard whose last verification started more than this ' +
        'before the request came in. The read token can start this at most once a minute. A request that would start ' +
        'more gets 429.',
    ),
  ),
  nonce: Type.Optional(Nonce),
  wait_seconds: Type.Optional({
    ...QueryInteger(
      { minimum: 1, maximum: 300 },
      'Long poll: while the response is the one that `If-None-Match` names, wait up to this many seconds for another ' +
        'one. A change of `ready` or `state` ends the wait at once, other changes within about a second, and a shutdown at once. Without ' +
        'a change the response is 304, or 503 if the worker is not ready. Cannot be combined with `nonce` or ' +
        '`max_age_seconds`, and needs a token.',
    ),
    examples: [30],
  }),
});

export type ReadyFields = Static<typeof readyQuery>;

export const Liveness = namedSchema(
  'Liveness',
  { status: oneOf(['ok'], 'The process responds.') },
  'The process responds.',
);

export const Health = namedSchema(
  'Health',
  {
    ready: Type.Boolean({ description: 'Whether the worker accepts work.' }),
    reasons: Type.Array(refTo(Reason), { description: 'Why the worker does not accept work. Empty if it does.' }),
  },
  'Whether the worker accepts work.',
);
export type HealthJson = Static<typeof Health>;
