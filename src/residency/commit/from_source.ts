import type { Actor } from '../../audit/actor.js';
import { outcomeOf } from '../../errors.js';
import { copyAll } from '../../sources/copy_all.js';
import type { TransferOptions } from '../../sources/egress/request.js';
import { hasKnownFormat, inspectModel } from '../../sources/inspect_model.js';
import type { ModelFileEntry } from '../../sources/model.js';
import { OpenedEntry } from '../../sources/opened_entry.js';
import type { RangedSource } from '../../sources/ranged_source.js';
import type { SourceReference } from '../../sources/reference.js';
import { withDeadline } from '../source/deadline.js';
import { heldDigests } from '../source/digest_rule.js';
import { isLocal, onlyFile } from '../source/pinned.js';
import type { WorkerState } from '../state/worker_state.js';
import { admit } from './admission.js';
import type { Ingest } from './ingest.js';
import type { CommitRequest, CommitResult } from './request.js';
import { copyYielding } from './yielding_sink.js';

/** A commit by reference. */
export interface SourceCommit {
  readonly request: Omit<CommitRequest, 'vramBytes' | 'source' | 'expectedBy'>;
  /** Names exactly one file. */
  readonly reference: SourceReference;
  readonly actor: Actor;
  /** Aborts the commit. */
  readonly signal?: AbortSignal;
}

/** A file whose format is checked and whose digest is known, as far as its source requires it. */
interface CheckedFile {
  readonly entry: ModelFileEntry;
  readonly request: Omit<CommitRequest, 'vramBytes'>;
  readonly close: () => void;
}

/**
 * Commits a file of a source. Its length is the length of the shard. Before memory is claimed, its format and the rule
 * about its digest are checked. @throws WorkerError
 */
export async function commitSource(worker: WorkerState, commit: SourceCommit): Promise<CommitResult> {
  worker.lifecycle.requireStarted();
  const { sources } = worker;
  return withDeadline(commit.signal, sources.deadlineMs, async (options) => {
    const file = await sources.commitLookups.run(options, (each) => check(worker, commit, each));
    try {
      return await transfer(worker, commit, file, options);
    } catch (error) {
      if (outcomeOf(error) !== 'DIGEST_MISMATCH' || isLocal(commit.reference)) throw error;
      // The bytes may have been damaged on their way, so they are fetched once more, over a new connection.
      const { shardId } = commit.request;
      worker.log('warn', 'the bytes of a source have another digest: fetching them again', { shard_id: shardId });
      return await transfer(worker, commit, file, options);
    } finally {
      file.close();
    }
  });
}

async function check(
  { sources }: WorkerState,
  { reference, request }: SourceCommit,
  options: TransferOptions,
): Promise<CheckedFile> {
  const { resolver, inspector } = sources.of(reference);
  const model = await resolver.resolve(reference, options);
  const found = onlyFile(model);
  const held = heldDigests(request, found, model);
  const file = isLocal(reference) ? new OpenedEntry(found) : { entry: found, close: () => undefined };
  const { entry } = file;
  try {
    // A commit takes unknown formats. Of local files, a look at the first bytes costs less than a thread.
    if (!isLocal(reference) || (await hasKnownFormat(entry, options))) {
      await inspectModel(inspector, { shards: [entry], indexes: [] }, { ...options, whole: false });
    }
  } catch (error) {
    file.close();
    throw error;
  }
  const source = entry.pinned === undefined ? {} : { source: entry.pinned };
  return { entry, request: { ...request, ...held, ...source }, close: () => file.close() };
}

async function transfer(
  worker: WorkerState,
  { actor }: SourceCommit,
  { entry, request }: CheckedFile,
  options: TransferOptions,
): Promise<CommitResult> {
  const source = await entry.open(options);
  try {
    options.signal.throwIfAborted();
    const admission = admit(worker, { ...request, vramBytes: source.totalBytes }, actor);
    if (admission.kind === 'existing') return admission.result;
    return await ingestSource(admission.ingest, source, options);
  } finally {
    source.close();
  }
}

/** Reads a whole file into an ingest and completes it. @throws WorkerError; then everything is undone */
export async function ingestSource(
  ingest: Ingest,
  source: RangedSource,
  options: TransferOptions,
): Promise<CommitResult> {
  const { signal } = options;
  const onAbort = () => void ingest.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    signal.throwIfAborted();
    await ingest.start();
    await copyYielding(ingest, (sink) => copyAll(source, sink, options));
    return await ingest.finish();
  } catch (error) {
    await ingest.abort(error);
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
