import Type, { type Static, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { PeerError } from './client_error.js';

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
