import type { Actor } from '../../audit/actor.js';
import { WorkerError } from '../../errors.js';
import { copyAll } from '../../sources/copy_all.js';
import type { ModelFile } from '../../vram/file.js';
import { FileStop, LocalFile } from '../source/local_file.js';
import { openSource } from '../state/source.js';
import type { WorkerState } from '../state/worker_state.js';
import { admit } from './admission.js';
import type { Ingest } from './ingest.js';
import type { CommitRequest, CommitResult } from './request.js';

/** A commit by reference. */
export interface FileCommit {
  readonly request: Omit<CommitRequest, 'vramBytes'>;
  /** Relative to the model directory. */
  readonly path: string;
  readonly actor: Actor;
  /** Aborts the commit. */
  readonly signal?: AbortSignal;
}

/** Commits a file of the model directory. The length of the file is the length of the shard. @throws WorkerError */
export async function commitFile(
  worker: WorkerState,
  { request, path, actor, signal }: FileCommit,
): Promise<CommitResult> {
  worker.lifecycle.requireStarted();
  const source = { path };
  let admitted: Ingest | undefined;
  const file = await openSource(worker, source, () => {
    signal?.throwIfAborted();
    admitted?.signal.throwIfAborted();
  });
  try {
    signal?.throwIfAborted();
    if (file.bytes === 0) throw new WorkerError('INVALID_PARAMS', 'The file of source.path is empty');
    const admission = admit(worker, { ...request, source, vramBytes: file.bytes }, actor);
    if (admission.kind === 'existing') return admission.result;
    const { ingest } = admission;
    admitted = ingest;
    signal?.addEventListener('abort', () => void ingest.abort(signal.reason));
    await ingest.start();
    return await ingestFile(ingest, file);
  } finally {
    file.close();
  }
}

/** Reads a whole file into an ingest and completes it. @throws WorkerError LENGTH_MISMATCH if the file changed */
export async function ingestFile(ingest: Ingest, file: ModelFile): Promise<CommitResult> {
  const { signal } = ingest;
  const source = new LocalFile(file, new FileStop(signal));
  try {
    await copyAll(source, ingest, { signal });
  } catch (error) {
    await ingest.abort(error);
    throw error;
  } finally {
    source.close();
  }
  return ingest.finish();
}
