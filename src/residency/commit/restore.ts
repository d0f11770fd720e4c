import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { systemActor } from '../../audit/actor.js';
import { outcomeOf, WorkerError } from '../../errors.js';
import { isVisibleText } from '../../seal/visible_text.js';
import type { TransferOptions } from '../../sources/egress/request.js';
import { FileInUseError, FileLock } from '../../vram/file_lock.js';
import type { Orphans } from '../lease/orphans.js';
import { withDeadline } from '../source/deadline.js';
import { type CommittedFile, isLocal, openPinned } from '../source/pinned.js';
import { drainingError } from '../state/lifecycle.js';
import { Manifest } from '../state/manifest.js';
import type { ManifestEntry } from '../state/manifest_entry.js';
import type { WorkerState } from '../state/worker_state.js';
import { admit } from './admission.js';
import { ingestSource } from './from_source.js';
import type { Ingest } from './ingest.js';
import { isKeptEntry } from './map_kept.js';
import { Readoption, type ReadoptionOutcome } from './readopt.js';
import type { CommitRequest } from './request.js';
import { RestoreTurns, restoreSlots } from './restore_turns.js';
import { Retries } from './retries.js';

/** Shards that are admitted or lost in one turn of the event loop. */
const chunkShards = 128;

const defaultRetryMs = 1000;

/**
 * Reads the manifest and locks it, if that is possible; the worker keeps it up to date from now on.
 * @throws FileInUseError, ManifestError
 */
export async function openRestore(path: string, worker: WorkerState, orphans: Orphans): Promise<Restore> {
  const lock = new FileLock(path, 'WORKER_MANIFEST');
  const { lostShards } = worker;
  lostShards.lock = lock;
  await requireUnused(lock);
  lostShards.manifest = await Manifest.open({ path, lock, onChange: (cause) => worker.manifestChanged(cause) });
  if (!lock.isHeld && lostShards.isWritable) {
    worker.log('info', 'the file system of the manifest does not support locks', {});
  }
  return new Restore(worker, orphans);
}

/** A lock that fails for another reason than another worker makes the manifest unwritable. It can still be read. */
async function requireUnused(lock: FileLock): Promise<void> {
  try {
    await lock.acquire();
  } catch (error) {
    if (error instanceof FileInUseError) throw error;
  }
}

/**
 * Restores the shards of the previous process after a restart. Memory that the keeper has is taken over. Other shards that were
 * committed by reference are read from their sources again. All must have the recorded digests. A shard that cannot be restored is
 * reported as lost.
 */
export class Restore {
  /** Commit slots that it needs in addition to those of clients. */
  readonly slots = restoreSlots;
  readonly #worker: WorkerState;
  readonly #turns = new RestoreTurns();
  readonly #ingests = new Set<Ingest>();
  readonly #stopped = new AbortController();
  readonly #readoption: Readoption;

  /** From now on no client can take memory or release a shard, until `begin` resolves. */
  constructor(worker: WorkerState, orphans: Orphans) {
    this.#worker = worker;
    this.#readoption = new Readoption(worker, orphans);
    const { lostShards } = worker;
    const entries = lostShards.manifest?.entries() ?? [];
    const hopeful = entries.filter((entry) => lossOf(entry) === undefined || this.#mayBeKept(entry));
    lostShards.restoring = { total: hopeful.length, done: 0 };
    lostShards.isClaiming = entries.length > 0;
  }

  /**
   * Takes the memory and the id of every shard, in chunks, so that no client takes them first. The bytes are read and proven later.
   * Never rejects.
   */
  async begin(): Promise<void> {
    const { lostShards } = this.#worker;
    const entries = lostShards.manifest?.entries() ?? [];
    await this.#readoption.map(entries.filter(isKeptEntry));
    const others = entries.filter((entry) => !this.#readoption.has(entry));
    const restorable = others.filter((entry) => lossOf(entry) === undefined);
    await inChunks(restorable, (entry) => void this.#restore(entry).then(() => this.#done()));
    await inChunks(others, async (entry) => {
      const loss = lossOf(entry);
      if (loss === undefined) return;
      await this.#lose(entry, loss);
      if (this.#mayBeKept(entry)) this.#done();
    });
    lostShards.isClaiming = false;
    void this.#readoption.proveAll((entry, outcome) => this.#proven(entry, outcome));
  }

  /** Aborts the shards in progress. They stay on the manifest, for the next process. */
  stop(): void {
    const reason = drainingError();
    this.#stopped.abort();
    void this.#readoption.abort(reason);
    for (const ingest of this.#ingests) void ingest.abort(reason);
  }

  #mayBeKept(entry: ManifestEntry): boolean {
    return this.#worker.options.keeper !== undefined && isKeptEntry(entry);
  }

  /** Memory that is not good is freed. Then the shard is read from its file, unless processes still have the memory. */
  async #proven(entry: ManifestEntry, outcome: ReadoptionOutcome): Promise<void> {
    if (outcome.kind === 'failed') {
      const isFreed = await outcome.freed;
      if (lossOf(entry) !== undefined || !isFreed) await this.#lose(entry, outcome.why);
      else await this.#restore(entry);
    }
    if (outcome.kind !== 'stopped') this.#done();
  }

  #done(): void {
    const { lostShards, lifecycle } = this.#worker;
    const { restoring } = lostShards;
    restoring.done++;
    if (restoring.done === restoring.total && lifecycle.phase === 'loading') lifecycle.endLoading();
    lifecycle.bumpRevision();
  }

  async #restore(entry: ManifestEntry): Promise<void> {
    const retries = new Retries(this.#worker.options.restoreRetryMs ?? defaultRetryMs);
    // A client may have released the shard since the last attempt.
    while (!this.#stopped.signal.aborted && (await this.#worker.lostShards.isListed(entry.shardId))) {
      try {
        await this.#commit(entry);
        return this.#worker.log('info', 'shard restored', { shard_id: entry.shardId });
      } catch (error) {
        const code = outcomeOf(error);
        // A client has committed the shard since, so it needs no restore.
        const isTaken = this.#worker.shards.get(entry.shardId) !== undefined;
        if (isTaken && (code === 'SHARD_CONFLICT' || code === 'SHARD_BUSY')) return;
        if (this.#stopped.signal.aborted) return;
        const why = error instanceof WorkerError ? error.message : 'Internal error';
        const delayMs = retries.delayAfter(error);
        if (delayMs === undefined) return await this.#lose(entry, why);
        if (retries.isFirst)
          this.#worker.log('error', 'restore will be retried', { shard_id: entry.shardId, detail: why });
        const { signal } = this.#stopped;
        await sleep(delayMs, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  /** Keeps the claims of the first commit, but requires all recorded digests, even if its client gave none. */
  async #commit(entry: ManifestEntry): Promise<void> {
    const { source, digest, treeDigest, vramBytes: bytes, expected } = entry;
    const flat = digest === null ? { flatDigest: false } : { flatDigest: true, expectedDigest: digest };
    if (source === null) throw new WorkerError('INTERNAL', 'A shard without a source cannot be restored');
    const { exportable, memory: _, expectedBy, ...claims } = entry;
    // This worker may no longer share memory, so it decides about an exportable shard again.
    const sharing = exportable ? {} : { exportable };
    const stated = expectedBy === null ? {} : { expectedBy };
    const digests = { ...flat, ...stated, expectedTreeDigest: treeDigest, expected };
    const request: CommitRequest = { ...claims, ...digests, ...sharing, source };
    const admission = admit(this.#worker, request, systemActor, this.#turns.slots);
    if (admission.kind === 'existing') return;
    const { ingest } = admission;
    this.#ingests.add(ingest);
    try {
      await this.#read({ reference: source, bytes, digest }, ingest);
    } catch (error) {
      await ingest.abort(error);
      throw error;
    } finally {
      this.#ingests.delete(ingest);
    }
  }

  /** Opens and receives a file. Each time limit begins with a turn, because the wait for it can be long. */
  async #read(file: CommittedFile, ingest: Ingest): Promise<void> {
    const { sources } = this.#worker;
    const { resolver } = sources.of(file.reference);
    const limited = <T>(work: (options: TransferOptions) => Promise<T>) =>
      withDeadline(ingest.signal, sources.deadlineMs, work);
    if (isLocal(file.reference)) {
      await ingest.acquired();
      return limited(async (options) => {
        const source = await openPinned(resolver, file, options);
        await ingestSource(ingest, source, options).finally(() => source.close());
      });
    }
    await ingest.pause();
    await this.#turns.remote(file.reference, ingest.signal, {
      open: () => limited((options) => openPinned(resolver, file, options)),
      transfer: async (source) => {
        await ingest.resume(ingest.signal);
        await limited((options) => ingestSource(ingest, source, options));
      },
    });
  }

  async #lose(entry: ManifestEntry, why: string): Promise<void> {
    const { lostShards, audit, lifecycle } = this.#worker;
    const { shardId, modelRef, digest, treeDigest, source } = entry;
    lostShards.byId.set(shardId, { ...entry, detail: why });
    const names = { shard_id: shardId, model_ref: modelRef };
    const fields = { ...names, digest, tree_digest: treeDigest, detail: why };
    this.#worker.log('error', 'shard lost', { ...names, detail: why });
    lifecycle.bumpRevision();
    await audit.appendBestEffort('ShardLost', source === null ? 'warning' : 'critical', fields);
  }
}

/** Why no attempt can restore a shard. Versions of the worker that wrote manifests of version 1 accepted any name. */
function lossOf({ source, modelRef, memory }: ManifestEntry): string | undefined {
  if (source === null && memory !== null)
    return 'The keeper did not return the memory, and there is no source to read again';
  if (source === null) return 'The worker has no source to restore it from: commit it again';
  if (isVisibleText(modelRef)) return undefined;
  return 'Its model_ref is not in Unicode NFC, or has invisible characters: commit it again with another model_ref';
}

/** Calls `work` for each item, a chunk in each turn of the event loop. The entries of a chunk share a sync. */
async function inChunks<T>(items: readonly T[], work: (item: T) => Promise<void> | void): Promise<void> {
  for (let start = 0; start < items.length; start += chunkShards) {
    await Promise.all(items.slice(start, start + chunkShards).map(work));
    await nextTurn();
  }
}
