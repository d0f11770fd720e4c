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

  /**
   * Writes an entry before its effect. Without the entry the effect must not happen. After the entry, the caller must check
   * again that the effect is possible. If it is not, the caller writes `EffectAborted`. @throws WorkerError AUDIT_UNAVAILABLE
   */
  appendRequired(event: AuditEvent, shard: Shard, fields: AuditFields = {}, actor: Actor = systemActor): Promise<void> {
    return this.#writer.appendRequired(event, 'info', { ...fieldsOf(shard), ...fields }, actor);
  }

  /** Writes an entry about an effect that happens in any case. If the log cannot be written, the entry waits. Never rejects. */
  appendBestEffort(
    { event, severity, fields = {} }: { event: AuditEvent; severity: AuditSeverity; fields?: AuditFields },
    shard: Shard,
    actor: Actor = systemActor,
  ): Promise<void> {
    return this.#writer.appendBestEffort(event, severity, { ...fieldsOf(shard), ...fields }, actor);
  }

  /** Records that the effect of the required entry `event` did not happen. */
  effectAborted(event: AuditEvent, shard: Shard, fields: AuditFields = {}, actor: Actor = systemActor): void {
    const entry = { event: 'EffectAborted', severity: 'warning', fields: { ...fields, aborted: event } } as const;
    void this.appendBestEffort(entry, shard, actor);
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
