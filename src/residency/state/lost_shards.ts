import { WorkerError } from '../../errors.js';
import type { FileLock } from '../../vram/file_lock.js';
import { type ListChange, type Manifest, noChange } from './manifest.js';
import type { ManifestEntry } from './manifest_file.js';
import type { Seal, Shard } from './shard.js';

/** A shard that a restart could not restore, and why. */
export interface LostShard extends ManifestEntry {
  readonly detail: string;
}

/** The manifest of this worker's shards, and the shards that a restart could not restore. */
export class LostShards {
  /** Undefined if `WORKER_MANIFEST` is not set. */
  manifest: Manifest | undefined;
  /** The lock on the manifest. */
  lock: FileLock | undefined;
  /** By shard id, until a client commits or releases the shard. */
  readonly byId = new Map<string, LostShard>();
  /** How many shards a restart has to restore, and how many of them are restored or lost. */
  restoring = { total: 0, done: 0 };
  /** A restart takes the memory and the ids of its shards. Clients must not take or release them first. */
  isClaiming = false;
  readonly #forgetting = new Set<string>();

  /** Lists a shard in the manifest. The shard must not be visible as sealed before `written` resolves. */
  remember(shard: Shard, seal: Seal): ListChange {
    return this.manifest?.put(shard, seal) ?? noChange;
  }

  /** The shard is sealed, so it is no longer lost. */
  found(shardId: string): void {
    this.byId.delete(shardId);
  }

  /**
   * Takes a shard off the manifest, then calls `record`, which writes the audit entry. If that fails, the shard is listed
   * again. @throws WorkerError SHARD_BUSY if the shard is being forgotten, AUDIT_UNAVAILABLE
   */
  async forget(shardId: string, record: () => Promise<void>): Promise<void> {
    if (this.#forgetting.has(shardId)) throw new WorkerError('SHARD_BUSY', 'The shard is being released');
    this.#forgetting.add(shardId);
    const change = this.manifest?.remove(shardId) ?? noChange;
    try {
      await change.written;
      await record();
    } catch (error) {
      await change.undo();
      throw error;
    } finally {
      this.#forgetting.delete(shardId);
    }
    this.byId.delete(shardId);
  }

  /** The manifest lists the shard, and no release is taking it off. */
  isListed(shardId: string): boolean {
    return this.manifest?.get(shardId) !== undefined;
  }

  get isWritable(): boolean {
    return this.manifest?.isWritable ?? true;
  }
}
