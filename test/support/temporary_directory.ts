import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

const sharedMemory = '/dev/shm';

/**
 * A new directory below the temporary directory of the system. It is removed after the teardowns that are registered
 * later, so after a worker that writes to it has stopped. `t.testdir` is removed before all teardowns.
 */
export function temporaryDirectory(t: Pick<Test, 'teardown'>, parent = tmpdir()): string {
  const directory = mkdtempSync(join(parent, 'vram-test-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The same in shared memory, if there is any: for tests whose syncs of a disk would take most of their time. */
export function memoryDirectory(t: Pick<Test, 'teardown'>): string {
  try {
    accessSync(sharedMemory, constants.W_OK);
  } catch {
    return temporaryDirectory(t);
  }
  return temporaryDirectory(t, sharedMemory);
}
