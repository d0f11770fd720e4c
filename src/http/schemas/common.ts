import Type, { type Static, type TSchema } from 'typebox';

/** The largest integer that JSON carries exactly everywhere: 2^53 − 1. */
export const maxBytes = Number.MAX_SAFE_INTEGER;

/** As many shards as one model may be cut into. */
export const maxShards = 1024;

/** A named OpenAPI component that is typed as what it refers to. */
export const refTo = <T extends TSchema & { readonly $id: string }>(schema: T) =>
  Type.Unsafe<Static<T>>(Type.Ref(schema.$id));

/** The same, or null. */
export const nullableRefTo = <T extends TSchema & { readonly $id: string }>(schema: T) =>
  Type.Unsafe<Static<T> | null>(Type.Union([Type.Ref(schema.$id), Type.Null()]));

/** An object that refuses what it does not name, as a component called `id`. */
export const component = <const Id extends string, P extends Record<string, TSchema>>(
  id: Id,
  properties: P,
  description: string,
) => Object.assign(closed(properties, { description }), { $id: id });

/** An object that refuses what it does not name. */
export const closed = <P extends Record<string, TSchema>>(properties: P, options: object = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options });

/** A string of a few known words. Its `type` is spelt out: tools that generate clients want it. */
export const oneOf = <const Words extends readonly string[]>(words: Words, description: string) =>
  Type.Unsafe<Words[number]>({ type: 'string', enum: [...words], description });

/** Text without control characters or lone surrogates, so that it is the same text wherever it goes. */
const plainText = (most: number, description: string) =>
  Type.String({ pattern: `^[^\\p{Cc}\\p{Cs}]{1,${most}}$`, description });

export const ShardId = Type.String({
  pattern: '^[A-Za-z0-9-]{1,256}$',
  description: "The shard's name on this worker: 1 to 256 letters, digits and hyphens.",
});

export const ModelRef = plainText(512, 'The model that the shard belongs to, by whatever name its owner uses.');

export const ReservationId = Type.String({
  pattern: '^[A-Za-z0-9_-]{1,64}$',
  description: 'A reservation that `plan` made.',
});

export const ExpectedDigest = Type.String({
  pattern: '^(sha256:)?[0-9a-fA-F]{64}$',
  description: "SHA-256 of the shard's bytes: 64 hex digits, with or without `sha256:`.",
});

export const ExpectedTreeDigest = Type.String({
  pattern: '^(sha256:)?[0-9a-fA-F]{64}$',
  description: 'fs-verity digest (SHA-256, 4096-byte blocks, no salt): what `fsverity digest FILE` prints.',
});

export const Digest = Type.String({ pattern: '^sha256:[0-9a-f]{64}$' });
export const NullableDigest = Type.Unsafe<`sha256:${string}` | null>({
  type: ['string', 'null'],
  pattern: '^sha256:[0-9a-f]{64}$',
});

export const Nonce = plainText(128, 'Up to 128 characters that come back inside the signed attestation.');
export const FilePath = plainText(4096, "Relative to the worker's model directory.");

export const Bytes = (description: string) => Type.Integer({ minimum: 0, maximum: maxBytes, description });
export const Length = (description: string) => Type.Integer({ minimum: 1, maximum: maxBytes, description });
export const GpuDevice = Type.Integer({ minimum: 0, maximum: 65535, description: "The GPU's index on this host." });
export const ShardIndex = Type.Integer({ minimum: 0, maximum: maxShards - 1 });
export const TotalShards = Type.Integer({ minimum: 1, maximum: maxShards });

export const Instant = (description: string) => Type.String({ format: 'date-time', description });
export const NullableInstant = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time', description });

/** An integer in a query string. It arrives as text and is read exactly by `readInteger`. */
export const QueryInteger = (description: string) => Type.String({ pattern: '^(0|[1-9][0-9]{0,15})$', description });
export const QueryBoolean = (description: string) => oneOf(['true', 'false'], description);

export const Reason = component(
  'Reason',
  { code: Type.String({ description: 'A word for programs.' }), detail: Type.String({ description: 'For people.' }) },
  'Something that stands in the way.',
);

export const NoQuery = closed({});
