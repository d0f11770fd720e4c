import type { Stats } from 'node:fs';
import { lstat, realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { FileCalls } from '../storage/file_calls.js';
import { isMissing } from '../storage/fs.js';
import { ConfigError } from './config_error.js';

type Permissions = Pick<Stats, 'mode' | 'uid'>;

const root = 0;
const stickyBit = 0o1000;
const writableByOthers = 0o002;

/**
 * Refuses a file that any user could replace by a rename: if others can write its directory, or one above it. A sticky
 * directory, such as `/tmp`, is accepted if its entry belongs to this user or to root. Members of a directory's group
 * are trusted. A file that does not exist is accepted in any other directory. Errors call the file `name`.
 * @throws ConfigError, FileTimeoutError
 */
export function requireTrustedDirectories(name: string, path: string, files: FileCalls): Promise<void> {
  return files.run(name, async () => {
    const target = await realpath(path).catch(() => resolve(path));
    for (const start of new Set([resolve(path), target])) await requireTrusted(name, start);
  });
}

async function requireTrusted(name: string, path: string): Promise<void> {
  const user = process.geteuid?.() ?? root;
  for (let entry = path; entry !== dirname(entry); entry = dirname(entry)) {
    const directory = dirname(entry);
    const permissions = await ifExists(stat(directory));
    if (permissions !== undefined && isReplaceable(permissions, await ifExists(lstat(entry)), user)) {
      throw new ConfigError(`${name} can be replaced by other users: remove their write permission for ${directory}`);
    }
  }
}

async function ifExists(found: Promise<Stats>): Promise<Stats | undefined> {
  try {
    return await found;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Whether other users can replace an entry of a directory. An entry that does not exist is undefined. */
export function isReplaceable(directory: Permissions, entry: Permissions | undefined, user: number): boolean {
  if ((directory.mode & writableByOthers) === 0) return false;
  if ((directory.mode & stickyBit) === 0) return true;
  return entry !== undefined && entry.uid !== user && entry.uid !== root;
}
