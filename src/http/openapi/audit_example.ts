import type { AuditPageJson } from '../schemas/audit.js';

/** A page with the newest entry alone. */
export const auditExample: AuditPageJson = {
  entries: [
    {
      seq: 3,
      time: '2026-01-05T10:00:00.000Z',
      event: 'VramSealed',
      severity: 'info',
      actor: 'operator:7fad4c6cf84b0d72',
      request_id: '7a1d6d1c-0d3e-4b70-9c1e-2f3a4b5c6d70',
      shard_id: 'llama-0',
      digest: 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
      tree_digest: 'sha256:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95',
      model_ref: 'llama',
      gpu_device: 0,
      vram_bytes: 723869,
      jti: '7a1d6d1c-0d3e-4b70-9c1e-2f3a4b5c6d70',
      previous: '5f0a4a2e9f5c4a578f0e2b1c3d4e5f605f0a4a2e9f5c4a578f0e2b1c3d4e5f60',
      checksum: '2b1c3d4e5f605f0a4a2e9f5c4a578f0e2b1c3d4e5f605f0a4a2e9f5c4a578f0e',
    },
  ],
  next_before_seq: 3,
};
