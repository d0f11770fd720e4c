import { type Actor, systemActor } from '../../audit/actor.js';
import type { AuditEvent, AuditFields, AuditSeverity } from '../../audit/event.js';
import type { AuditWriter } from '../../audit/writer.js';
import type { Shard } from './shard.js';

/** Writes audit entries about shards. Each carries the shard's identity, size and digests. */
export class ShardAudit {
  readonly #writer: AuditWriter;

  constructor(writer: AuditWriter) {
    this.#writer = writer;
  }

  /** Writes an entry before its effect. Without the entry the effect must not happen. @throws WorkerError AUDIT_UNAVAILABLE */
  appendRequired(event: AuditEvent, shard: Shard, fields: AuditFields = {}, actor: Actor = systemActor): void {
    this.#writer.appendRequired(event, 'info', { ...fieldsOf(shard), ...fields }, actor);
  }

  /** Writes an entry about an effect that happens in any case. If the log cannot be written, the entry waits. */
  appendBestEffort(
    { event, severity, fields = {} }: { event: AuditEvent; severity: AuditSeverity; fields?: AuditFields },
    shard: Shard,
    actor: Actor = systemActor,
  ): void {
    this.#writer.appendBestEffort(event, severity, { ...fieldsOf(shard), ...fields }, actor);
  }
}

function fieldsOf({ identity, memory, vramBytes, seal }: Shard): AuditFields {
  return {
    shard_id: identity.shardId,
    digest: seal?.digest ?? null,
    tree_digest: seal?.treeDigest ?? null,
    model_ref: identity.modelRef,
    gpu_device: memory.gpuDevice,
    vram_bytes: vramBytes,
    ...(seal === undefined ? {} : { jti: seal.jti }),
  };
}
