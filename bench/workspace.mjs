import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A directory for model files and simulated memory. On tmpfs if it has enough space, else in the temporary directory.
 * `makeOnDisk` creates a folder in the temporary directory. Removed at exit at the latest.
 * @typedef {{ directory: string, models: string, make: (name: string) => string, makeOnDisk: (name: string) => string,
 *   remove: () => void }} Workspace
 * @param {number} neededBytes @returns {Workspace}
 */
export function createWorkspace(neededBytes) {
  const directory = mkdtempSync(join(hasSpace('/dev/shm', neededBytes) ? '/dev/shm' : tmpdir(), 'vram-bench-'));
  const onDisk = [];
  const remove = () => {
    for (const path of [directory, ...onDisk]) rmSync(path, { recursive: true, force: true, maxRetries: 3 });
  };
  process.once('exit', remove);
  const make = (name) => {
    const path = join(directory, name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const makeOnDisk = (name) => {
    const path = mkdtempSync(join(tmpdir(), `vram-bench-${name}-`));
    onDisk.push(path);
    return path;
  };
  return { directory, models: make('models'), make, makeOnDisk, remove };
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

function hasSpace(path, bytes) {
  if (!existsSync(path)) return false;
  const { bavail, bsize } = statfsSync(path);
  return Math.min(bavail * bsize, freemem()) > bytes;
}
