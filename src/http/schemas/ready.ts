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
    ready: Type.Boolean(),
    total_shards: TotalShards,
    resident_shards: Type.Integer({ minimum: 0 }),
  },
  'Whether all shards of one model are sealed and good.',
);

export const StandingHandle = namedSchema(
  'StandingHandle',
  { handle: Type.String(), shard: refTo(Shard) },
  'A handle that stands, and its shard.',
);

export const LostShard = namedSchema(
  'LostShard',
  { shard_id: ShardId, model_ref: ModelRef, detail: Type.String({ description: 'Why, for people.' }) },
  'A shard that was here before a restart, and is not any more.',
);

export const Scrub = namedSchema(
  'Scrub',
  {
    state: oneOf(scrubStates, 'What it does now; `paused` and `off` verify nothing by themselves.'),
    period_seconds: Type.Integer({ minimum: 0, description: 'How often each shard is verified without being asked.' }),
    bytes_per_second: Bytes('How fast at most.'),
    shards_done: Type.Integer({ minimum: 0, description: 'Of the pass under way, or of the last one.' }),
    shards_total: Type.Integer({ minimum: 0 }),
    last_pass_finished_at: NullableInstant('When all shards had last had their turn.'),
    oldest_verified_at: NullableInstant('The last verification of the sealed shard that has waited longest.'),
  },
  'How far the background verification is.',
);

export const Readiness = namedSchema(
  'Readiness',
  {
    ready: Type.Boolean(),
    state: oneOf(['starting', 'loading', 'ready', 'draining', 'stopped'], "The worker's state."),
    worker_id: Type.String(),
    boot_id: Type.String({ description: 'New with every process: memory dies with it.' }),
    driver: Driver,
    nccl_group_id: Type.Null(),
    reasons: Type.Array(refTo(Reason), {
      description:
        'Each thing in the way: empty where `ready`, and only there. What is lost is in the way of its own model alone, ' +
        'and is a reason, `SHARD_LOST`, where no model is ready.',
    }),
    models: Type.Array(refTo(ModelReadiness)),
    handles: Type.Array(refTo(StandingHandle)),
    lost: Type.Array(refTo(LostShard), {
      description: 'Shards that a restart could not bring back, until they are committed or released.',
    }),
    scrub: refTo(Scrub),
    attestation: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: 'With `nonce`: a compact JWS, so that the answer can be neither replayed nor forged.',
    }),
  },
  'Which sealed shards are resident now.',
);
export type ReadinessView = Static<typeof Readiness>;

export const readyQuery = strictObject({
  model_ref: Type.Optional(ModelRef),
  handles: Type.Optional(QueryBoolean('False leaves the handles out.')),
  max_age_seconds: Type.Optional(
    QueryInteger(
      'At least 1: shards whose last verification is older are verified again first. For the read-only token at most ' +
        'once a minute; otherwise the answer is what is known, and `last_verified_at` says how old that is.',
    ),
  ),
  nonce: Type.Optional(Nonce),
});

export type ReadyFields = Static<typeof readyQuery>;

export const Liveness = namedSchema(
  'Liveness',
  { status: oneOf(['ok'], 'The process answers.') },
  'The process answers.',
);

export const Health = namedSchema(
  'Health',
  { ready: Type.Boolean(), reasons: Type.Array(refTo(Reason)) },
  'Whether the worker can be given work.',
);
export type HealthView = Static<typeof Health>;
