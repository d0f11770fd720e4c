import Type, { type Static } from 'typebox';
import { scrubStates } from '../../residency/integrity/scrubber.js';
import { ModelRef, Nonce, Reason, ShardId, TotalShards } from './common.js';
import { Bytes, NullableInstant, namedSchema, oneOf, QueryBoolean, QueryInteger, strictObject } from './make.js';
import { refTo } from './ref.js';
import { Driver, Shard } from './shard.js';

export const ModelReadiness = namedSchema(
  'ModelReadiness',
  {
    model_ref: ModelRef,
    ready: Type.Boolean({ description: 'Whether all shards of the model are sealed and intact.' }),
    total_shards: TotalShards,
    resident_shards: Type.Integer({ minimum: 0, description: 'Sealed shards of the model.' }),
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
  { shard_id: ShardId, model_ref: ModelRef, detail: Type.String({ description: 'Why it is lost, for people.' }) },
  'A shard that a restart could not restore.',
);

export const Scrub = namedSchema(
  'Scrub',
  {
    state: oneOf(scrubStates, 'Current state. In `paused` and `off` the worker verifies only on request.'),
    period_seconds: Type.Integer({ minimum: 0, description: 'Period in which each shard is verified at least once.' }),
    bytes_per_second: Bytes('Rate limit in bytes per second.'),
    shards_done: Type.Integer({ minimum: 0, description: 'Shards finished in the current or last pass.' }),
    shards_total: Type.Integer({ minimum: 0, description: 'Shards in that pass.' }),
    last_pass_finished_at: NullableInstant('When the last pass ended.'),
    oldest_verified_at: NullableInstant('Oldest last verification of all sealed shards.'),
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
    state: oneOf(['starting', 'loading', 'ready', 'draining', 'stopped'], 'State of the worker.'),
    worker_id: Type.String({ description: 'Id of the worker.' }),
    boot_id: Type.String({ description: "Id of the worker's process. GPU memory does not survive a restart." }),
    driver: Driver,
    nccl_group_id: Type.Null({ description: 'Reserved. Always null.' }),
    reasons: Type.Array(refTo(Reason), {
      description:
        'Why the worker is not ready; empty only if `ready`. A lost shard blocks only its own model. It is a reason, ' +
        '`SHARD_LOST`, if no model is ready.',
    }),
    models: Type.Array(refTo(ModelReadiness), { description: 'The requested model, or all models.' }),
    handles: Type.Array(refTo(ShardHandle), { description: 'Every sealed shard. Empty if `handles` is false.' }),
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
  'Sealed shards that are resident now.',
);
export type ReadinessJson = Static<typeof Readiness>;

export const readyQuery = strictObject({
  model_ref: Type.Optional(ModelRef),
  handles: Type.Optional(QueryBoolean('False omits the handles. Default: true.')),
  max_age_seconds: Type.Optional(
    QueryInteger(
      { minimum: 1, maximum: 1_000_000_000 },
      'The worker first verifies every shard whose last verification started more than this before the request came ' +
        'in. The read-only token can start this at most once a minute; a request that would start more gets 429.',
    ),
  ),
  nonce: Type.Optional(Nonce),
  wait_seconds: Type.Optional({
    ...QueryInteger(
      { minimum: 1, maximum: 300 },
      'Long poll: while the response is the one that `If-None-Match` names, wait up to this long for another one. A change ' +
        'of `ready` or `state` ends the wait at once, other changes within about a second, and a shutdown at once. Without ' +
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
