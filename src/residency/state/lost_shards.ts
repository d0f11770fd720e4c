import type { Manifest, ManifestEntry } from './manifest.js';
import type { Seal, Shard } from './shard.js';

/** A shard that was here before a restart, and why it is not any more. */
export interface LostShard extends ManifestEntry {
  readonly detail: string;
}

/** What outlives the process: the shards that the next one is to have again, and those that this one could not have. */
export class LostShards {
  /** Undefined where nothing outlives the process. */
  manifest: Manifest | undefined;
  /** By id, until somebody commits or releases them. */
  readonly byId = new Map<string, LostShard>();
  /** How many shards of the process before are to be restored, and how many of them are, or are lost. */
  restoring = { total: 0, done: 0 };

  /** Lists a shard for the next process, before anybody is told that it is sealed. @throws WorkerError AUDIT_UNAVAILABLE */
  remember(record: Shard, seal: Seal): void {
    this.manifest?.put(record, seal);
    this.byId.delete(record.identity.shardId);
  }

  /** Takes a shard off the list, unless `write` throws. @throws WorkerError AUDIT_UNAVAILABLE, and what `write` throws */
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

  /** After a failure: writes once more what this process stands by. What was refused may be in the file. */
  tick(): void {
    this.manifest?.probe();
  }

  /** Whether what is to outlive the process can be written. */
  get writable(): boolean {
    return this.manifest?.probe() ?? true;
  }
}
