import { join } from 'node:path';
import type { Test } from 'tap';
import { temporaryDirectory } from './temporary_directory.js';
import { startWorker, type WorkerOptions } from './worker.js';

/** A worker with an attach socket in a private directory. */
export async function startAttachable(t: Test, { env, ...options }: WorkerOptions = {}) {
  const socket = join(temporaryDirectory(t), 'attach.sock');
  const worker = await startWorker(t, { env: { WORKER_ATTACH_SOCKET: socket, ...env }, ...options });
  return { worker, socket };
}
