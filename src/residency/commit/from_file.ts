import type { Actor } from '../../audit/actor.js';
import { WorkerError } from '../../errors.js';
import type { ModelFile } from '../../vram/file.js';
import { openSource } from '../integrity/repair.js';
import type { ResidencyObserver } from '../state/signer.js';
import type { WorkerState } from '../state/worker_state.js';
import { admit } from './admission.js';
import type { Ingest } from './ingest.js';
import type { CommitRequest, CommitResult } from './request.js';

/** Commits a file below the model directory; its length is the shard's. `signal` gives the commit up. */
export async function commitFile(
  inventory: WorkerState,
  request: Omit<CommitRequest, 'vramBytes'>,
  path: string,
  observer: () => ResidencyObserver,
  actor: Actor,
  signal?: AbortSignal,
): Promise<CommitResult> {
  inventory.requireStarted();
  const source = { path };
  const file = openSource(inventory, source);
  try {
    if (file.bytes === 0) throw new WorkerError('INVALID_PARAMS', 'the file is empty');
    const admission = admit(inventory, { ...request, source, vramBytes: file.bytes }, observer, actor);
    if (admission.kind === 'standing') return admission.result;
    const { intake } = admission;
    signal?.addEventListener('abort', () => void intake.abort(signal.reason));
    await intake.start();
    return await ingestFile(intake, file);
  } finally {
    file.close();
  }
}

/** Brings a whole file in, and seals it; a file that changes meanwhile is refused. */
export async function ingestFile(intake: Ingest, file: ModelFile): Promise<CommitResult> {
  try {
    await intake.file(file.descriptor);
    file.requireUnchanged();
  } catch (error) {
    await intake.abort(error);
    throw error;
  }
  return intake.finish();
}
