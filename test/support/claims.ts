import { randomUUID } from 'node:crypto';
import { digestOf } from '../../src/seal/digest.js';
import type { HandleClaims } from '../../src/seal/handle.js';

/** Valid claims of a handle. */
export const handleClaims: HandleClaims = {
  iss: 'worker-1',
  boot_id: randomUUID(),
  jti: randomUUID(),
  iat: 1_700_000_000,
  shard_id: 'llama-0',
  model_ref: 'hf:org/name@rev',
  shard_index: 0,
  total_shards: 1,
  gpu_device: 0,
  gpu_uuid: 'GPU-00000000-0000-0000-0000-000000000000',
  vram_bytes: 723_869,
  digest: digestOf(Buffer.alloc(32)),
  tree_digest: digestOf(Buffer.alloc(32, 1)),
  expected: 'both',
  sealed_at: '2026-01-01T00:00:00.000Z',
  exportable: false,
  exported_at: null,
  driver: 'simulated',
  simulated: true,
};
