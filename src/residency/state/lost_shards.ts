import type { Manifest, ManifestEntry } from './manifest.js';
import type { Seal, Shard } from './shard.js';

/** A shard that a restart could not restore, and why. */
export interface LostShard extends ManifestEntry {
  readonly detail: string;
}

/** The manifest of this worker's shards, and the shards that a restart could not restore. */
export class LostShards {
  /** Undefined if `WORKER_MANIFEST` is not set. */
  manifest: Manifest | undefined;
  /** By shard id, until a client commits or releases the shard. */
  readonly byId = new Map<string, LostShard>();
  /** How many shards a restart has to restore, and how many of them are restored or lost. */
  restoring = { total: 0, done: 0 };

  /** Lists a shard in the manifest, before any client can see that it is sealed. @throws WorkerError AUDIT_UNAVAILABLE */
  remember(shard: Shard, seal: Seal): void {
    this.manifest?.put(shard, seal);
    this.byId.delete(shard.identity.shardId);
  }

  /**
   * Takes a shard off the manifest, then calls `write`. If `write` throws, the shard stays on the manifest.
   * @throws WorkerError AUDIT_UNAVAILABLE, and the errors of `write`
   */
  forget(shardId: string, write: () => void): void {
    const entry = this.manifest?.remove(shardId);
    try {
      write();
    } catch (error) {
      if (entry !== undefined) this.manifest?.putBack(entry);
      throw error;
    }
    this.byId.delete(shardId);
  }

  /** Writes the manifest again after a failure: a failed write may have reached the file. */
  tick(): void {
    this.manifest?.tryRecover();
  }

  get isWritable(): boolean {
    return this.manifest?.tryRecover() ?? true;
  }
}
