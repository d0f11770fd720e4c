import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/**
 * A new directory below the temporary directory of the system. It is removed after the teardowns that are registered
 * later, so after a worker that writes to it has stopped. `t.testdir` is removed before all teardowns.
 */
export function temporaryDirectory(t: Pick<Test, 'teardown'>): string {
  const directory = mkdtempSync(join(tmpdir(), 'vram-test-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
