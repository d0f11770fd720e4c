import Type, { type Static, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { PeerError } from './client_error.js';
import { Problem } from './problem.js';

// The fields that the commands read. A newer worker may send more.
const bytes = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const Shard = Type.Object({
  shard_id: Type.String(),
  model_ref: Type.String(),
  shard_index: Type.Integer(),
  total_shards: Type.Integer(),
  gpu_device: Type.Integer(),
  vram_bytes: bytes,
  digest: nullable(Type.String()),
  state: Type.String(),
  received_bytes: bytes,
  last_verified_at: nullable(Type.String()),
  simulated: Type.Boolean(),
});
export type Shard = Static<typeof Shard>;

export const ShardList = Type.Object({
  shards: Type.Array(Shard),
  next_cursor: nullable(Type.String()),
});

export const Verification = Type.Object({
  shard_id: Type.String(),
  verified: Type.Boolean(),
  reason: nullable(Type.String()),
  bytes,
  duration_ms: Type.Number(),
  corrupt_ranges: Type.Array(Type.Object({ offset: bytes, length: bytes })),
});
export type Verification = Static<typeof Verification>;

export const Readiness = Type.Object({
  ready: Type.Boolean(),
  reasons: Type.Array(Type.Object({ code: Type.String(), detail: Type.String() })),
  models: Type.Array(Type.Object({ model_ref: Type.String(), resident_shards: Type.Integer() })),
});

export const Commit = Type.Object({ handle: Type.String(), shard: Shard });
export type Commit = Static<typeof Commit>;

export const PullFile = Type.Object({
  path: Type.String(),
  shard_id: Type.String(),
  state: Type.String(),
  bytes,
  received_bytes: bytes,
  attempts: Type.Integer(),
  last_problem: Type.Optional(nullable(Problem)),
});
export type PullFile = Static<typeof PullFile>;

export const Pull = Type.Object({
  pull_id: Type.String(),
  state: Type.String(),
  model_ref: Type.Optional(nullable(Type.String())),
  bytes: Type.Optional(nullable(bytes)),
  received_bytes: bytes,
  bytes_per_second: Type.Optional(nullable(Type.Number())),
  remaining_seconds: Type.Optional(nullable(Type.Number())),
  files: Type.Array(PullFile),
  last_problem: Type.Optional(nullable(Problem)),
  problem: Type.Optional(nullable(Problem)),
});
export type Pull = Static<typeof Pull>;

const ResolvedFile = Type.Object({
  path: Type.String(),
  bytes,
  digest: Type.Optional(nullable(Type.String())),
  digest_from: Type.Optional(nullable(Type.String())),
  format: Type.Optional(nullable(Type.String())),
});

export const Plan = Type.Object({
  feasible: Type.Boolean(),
  vram_required: bytes,
  shard_plan: Type.Array(Type.Object({ shard_index: Type.Integer(), gpu_device: Type.Integer(), vram_bytes: bytes })),
  reason: nullable(
    Type.Object({ code: Type.String(), detail: Type.String(), needed_bytes: bytes, available_bytes: bytes }),
  ),
  resolved: Type.Object({
    model_ref: Type.String(),
    immutable: Type.Boolean(),
    files: Type.Array(ResolvedFile),
    skipped: Type.Array(Type.String()),
  }),
});
export type Plan = Static<typeof Plan>;

/** A check of an answer that also gives its type. */
export type AnswerOf<T> = (body: unknown) => T;

/** Compiles the check of an answer. It throws PeerError if the answer has another form. */
export function answerOf<S extends TSchema>(schema: S, name: string): AnswerOf<Static<S>> {
  const compiled = Compile(schema);
  return (body) => {
    if (compiled.Check(body)) return body;
    const [error] = compiled.Errors(body);
    const place = error === undefined ? '' : `: ${error.instancePath || 'it'} ${error.message}`;
    throw new PeerError(`the worker sent an unexpected ${name}${place}: use the command of the worker's version`);
  };
}
