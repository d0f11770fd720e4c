import Type from 'typebox';
import { maxModelRefChars } from '../../residency/limits.js';
import { gpuDeviceRange, shardIndexRange, totalShardsRange } from './limits.js';
import { namedSchema, strictObject, visibleText } from './make.js';

export const ShardId = Type.String({
  pattern: '^[A-Za-z0-9-]{1,256}$',
  description: 'Name of the shard on this worker: 1 to 256 letters, digits and hyphens.',
});

export const ModelRef = visibleText(
  maxModelRefChars,
  'Name of the model that the shard belongs to. The caller chooses it.',
);

export const ReservationId = Type.String({
  pattern: '^[A-Za-z0-9_-]{1,64}$',
  description: 'Id of a reservation from `plan`.',
});

export const ExpectedDigest = Type.String({
  pattern: '^(sha256:)?[0-9a-fA-F]{64}$',
  description: 'SHA-256 of the shard: 64 hex digits, with or without `sha256:`.',
});

export const ExpectedTreeDigest = Type.String({
  pattern: '^(sha256:)?[0-9a-fA-F]{64}$',
  description:
    'fs-verity digest of the shard (SHA-256, 4096-byte blocks, no salt), as `fsverity digest FILE` prints it.',
});

export const Nonce = visibleText(128, 'Up to 128 characters. The signed attestation repeats it.');

export const GpuDevice = Type.Integer({ ...gpuDeviceRange, description: 'GPU index on this host.' });
export const ShardIndex = Type.Integer({
  ...shardIndexRange,
  description: 'Index of this shard in the model.',
});
export const TotalShards = Type.Integer({
  ...totalShardsRange,
  description: 'Number of shards of the model.',
});

export const Reason = namedSchema(
  'Reason',
  {
    code: Type.String({ description: 'Reason code, for programs.' }),
    detail: Type.String({ description: 'Description in words.' }),
  },
  'A cause: why the worker is not ready, or why shards are overdue.',
);

export const NoQuery = strictObject({});
