import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** A new directory below the system's temporary directory, removed after the test. */
export function temporaryDirectory(t: Pick<Test, 'teardown'>): string {
  const directory = mkdtempSync(join(tmpdir(), 'vram-test-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
