import Type from 'typebox';
import { maxShards } from './limits.js';
import { namedSchema, plainText, strictObject } from './make.js';

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

export const GpuDevice = Type.Integer({ minimum: 0, maximum: 65535, description: "The GPU's index on this host." });
export const ShardIndex = Type.Integer({ minimum: 0, maximum: maxShards - 1 });
export const TotalShards = Type.Integer({ minimum: 1, maximum: maxShards });

export const Reason = namedSchema(
  'Reason',
  { code: Type.String({ description: 'A word for programs.' }), detail: Type.String({ description: 'For people.' }) },
  'Something that stands in the way.',
);

export const NoQuery = strictObject({});
