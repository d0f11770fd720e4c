import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from './paths.js';

const execute = promisify(execFile);
const folder = join(root, 'clients', 'c');

/** The C client. Its folder has the library and `example`. */
export const attachLibrary = join(folder, 'build', 'libvram_attach.so.1');

/** The worker of the C client's tests. */
export const fakeWorker = join(folder, 'build', 'fake_worker');

/** Builds the C client. Test files run at the same time, and only one of them builds. */
export async function buildAttachLibrary(): Promise<void> {
  await execute('flock', [join(folder, 'Makefile'), 'make', '-C', folder, 'all', 'build/example', 'build/fake_worker']);
}
