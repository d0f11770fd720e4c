import { WorkerError } from '../../errors.js';
import type { FileLock } from '../../vram/file_lock.js';
import type { Manifest, SealedShard } from './manifest.js';
import type { ManifestEntry } from './manifest_entry.js';
import type { Seal } from './seal.js';
import type { Shard } from './shard.js';

/** A shard that a restart could not restore, and why. */
export interface LostShard extends ManifestEntry {
  readonly detail: string;
}

/** The audit entries of a shard that is taken off the manifest. */
export interface ForgetEntries {
  /** Writes the entry. If it rejects, nothing changes. */
  readonly record: () => Promise<void>;
  /** Records that the effect of the entry did not happen. */
  readonly aborted: () => void;
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
  /** Settles when the shard is off the manifest, or stays on it. */
  readonly #forgetting = new Map<string, Promise<void>>();

  /**
   * Lists a shard in the manifest. When this resolves, the next process restores the shard, so the commit must take effect.
   * @throws WorkerError AUDIT_UNAVAILABLE; then the shard is not listed
   */
  async remember(shard: Shard, seal: Seal): Promise<void> {
    await this.manifest?.put(shard, seal);
  }

  /** As `remember`, for shards that are sealed together: the next process restores all of them, or none. */
  async rememberAll(sealed: readonly SealedShard[]): Promise<void> {
    await this.manifest?.putAll(sealed);
  }

  /** The shard is sealed, so it is no longer lost. */
  found(shardId: string): void {
    this.byId.delete(shardId);
  }

  /**
   * Calls `record`, which writes the audit entry, and then takes the shard off the manifest. If that fails, calls `aborted`.
   * @throws WorkerError SHARD_BUSY if the shard is being forgotten, AUDIT_UNAVAILABLE; then the shard is still listed
   */
  async forget(shardId: string, entries: ForgetEntries): Promise<void> {
    this.requireNotForgotten(shardId);
    this.requireWritable();
    const forgetting = this.#forget(shardId, entries).finally(() => this.#forgetting.delete(shardId));
    this.#forgetting.set(
      shardId,
      forgetting.catch(() => undefined),
    );
    return forgetting;
  }

  /** @throws WorkerError SHARD_BUSY while the shard is being forgotten */
  requireNotForgotten(shardId: string): void {
    if (!this.#forgetting.has(shardId)) return;
    throw new WorkerError('SHARD_BUSY', 'The shard is being released', { retryAfterMs: 1000 });
  }

  /** Whether the manifest lists the shard. Waits for a release that is taking it off. */
  async isListed(shardId: string): Promise<boolean> {
    await this.#forgetting.get(shardId);
    return this.manifest?.get(shardId) !== undefined;
  }

  /** @throws WorkerError AUDIT_UNAVAILABLE while the manifest cannot be written; it then tries again in the background */
  requireWritable(): void {
    if (this.isWritable) return;
    void this.manifest?.recover();
    throw new WorkerError('AUDIT_UNAVAILABLE', 'The manifest cannot be written', { retryAfterMs: 1000 });
  }

  get isWritable(): boolean {
    return this.manifest?.isWritable ?? true;
  }

  async #forget(shardId: string, { record, aborted }: ForgetEntries): Promise<void> {
    await record();
    try {
      await this.manifest?.remove(shardId);
    } catch (error) {
      aborted();
      throw error;
    }
    this.byId.delete(shardId);
  }
}
