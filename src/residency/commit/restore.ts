import { setTimeout as sleep } from 'node:timers/promises';
import { systemActor } from '../../audit/actor.js';
import { type ErrorCode, WorkerError } from '../../errors.js';
import { openSource } from '../integrity/repair.js';
import { CommitQueue } from '../state/commit_queue.js';
import { Manifest, type ManifestEntry } from '../state/manifest.js';
import type { ResidencyObserver } from '../state/signer.js';
import type { WorkerState } from '../state/worker_state.js';
import { admit } from './admission.js';
import { ingestFile } from './from_file.js';
import type { Ingest } from './ingest.js';
import type { CommitRequest } from './request.js';

/** Shards that are restored at one time. */
const restoreSlots = 4;

/** What may pass by itself: other processes leave the device, the driver recovers. Tried again so often. */
const transient: readonly ErrorCode[] = ['VRAM_OOM', 'HOST_OOM', 'CUDA_ERROR'];
const transientRetries = 3;
const retryMs = 1000;

/** Reads the manifest, and keeps it from now on. @throws ManifestError */
export function openRestore(path: string, inventory: WorkerState, observer: () => ResidencyObserver): Restore {
  inventory.lostShards.manifest = new Manifest(path);
  return new Restore(inventory, observer);
}

/**
 * Has again, after a restart, the shards that were here: those that came by reference are committed from their files, each
 * held to the digests that were recorded; what can't be had is lost, and said to be.
 */
export class Restore {
  /** Commit slots that it needs beside those of clients. */
  readonly slots = restoreSlots;
  readonly #inventory: WorkerState;
  readonly #observer: () => ResidencyObserver;
  readonly #turns = new CommitQueue(restoreSlots, Number.POSITIVE_INFINITY);
  readonly #intakes = new Set<Ingest>();
  readonly #stopped = new AbortController();

  constructor(inventory: WorkerState, observer: () => ResidencyObserver) {
    this.#inventory = inventory;
    this.#observer = observer;
  }

  /** Takes memory and name of every shard at once, so that no commit comes between; their bytes follow. */
  begin(): void {
    const entries = this.#inventory.lostShards.manifest?.entries() ?? [];
    const uploads = entries.filter(({ path }) => path === null);
    for (const entry of uploads) this.#lose(entry, 'it was an upload, and its bytes ended with the process');
    if (entries.length === uploads.length) return;
    this.#inventory.lostShards.restoring = { total: entries.length - uploads.length, done: 0 };
    this.#inventory.state = 'loading';
    for (const entry of entries) {
      if (entry.path !== null) void this.#restore(entry, entry.path).then(() => this.#done());
    }
  }

  /** Gives up what is on its way: it stays in the manifest, for the next process. */
  stop(): void {
    const reason = new WorkerError('DRAINING', 'the worker is shutting down');
    this.#stopped.abort();
    for (const intake of this.#intakes) void intake.abort(reason);
  }

  #done(): void {
    const { restoring } = this.#inventory.lostShards;
    restoring.done++;
    const all = restoring.done === restoring.total;
    if (all && this.#inventory.state === 'loading') this.#inventory.state = 'ready';
    this.#inventory.bumpRevision();
  }

  async #restore(entry: ManifestEntry, path: string): Promise<void> {
    for (let failures = 0; !this.#stopped.signal.aborted; ) {
      try {
        await this.#commit(entry, path);
        return this.#inventory.log('info', 'a shard is restored', { shard_id: entry.shardId });
      } catch (error) {
        const code = error instanceof WorkerError ? error.code : 'INTERNAL';
        // Somebody committed it meanwhile, and then it is theirs.
        if (code === 'SHARD_CONFLICT' || code === 'SHARD_BUSY') return;
        if (this.#stopped.signal.aborted) return;
        if (transient.includes(code)) failures++;
        const again = code === 'AUDIT_UNAVAILABLE' || (transient.includes(code) && failures <= transientRetries);
        if (!again) return this.#lose(entry, error instanceof WorkerError ? error.message : 'an internal error');
        const { signal } = this.#stopped;
        await sleep(retryMs, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  /** The claims are those of the first commit, and the bytes are held to more than its client may have asked. */
  async #commit(entry: ManifestEntry, path: string): Promise<void> {
    const { digest, treeDigest, vramBytes, expected } = entry;
    const flat = digest === null ? { flatDigest: false } : { flatDigest: true, expectedDigest: digest };
    const source = { path };
    const request: CommitRequest = { ...entry, ...flat, expectedTreeDigest: treeDigest, expected, source };
    const admission = admit(this.#inventory, request, this.#observer, systemActor, this.#turns);
    if (admission.kind === 'standing') return;
    const { intake } = admission;
    this.#intakes.add(intake);
    try {
      await intake.start();
      const file = openSource(this.#inventory, source);
      try {
        if (file.bytes !== vramBytes) throw new WorkerError('LENGTH_MISMATCH', 'the file has another length now');
        await ingestFile(intake, file);
      } finally {
        file.close();
      }
    } catch (error) {
      await intake.abort(error);
      throw error;
    } finally {
      this.#intakes.delete(intake);
    }
  }

  #lose(entry: ManifestEntry, why: string): void {
    const { shardId, modelRef, digest, treeDigest, path } = entry;
    this.#inventory.lostShards.byId.set(shardId, { ...entry, detail: why });
    const names = { shard_id: shardId, model_ref: modelRef };
    const digests = { digest, tree_digest: treeDigest };
    const severity = path === null ? 'warning' : 'critical';
    this.#inventory.audit.appendBestEffort('ShardLost', severity, { ...names, ...digests, detail: why });
    this.#inventory.log('error', 'a shard is lost', { ...names, detail: why });
    this.#inventory.bumpRevision();
  }
}
