import { lstatSync, realpathSync, type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ConfigError } from './config_error.js';

type Permissions = Pick<Stats, 'mode' | 'uid'>;

const root = 0;
const stickyBit = 0o1000;
const writableByOthers = 0o002;

/**
 * Refuses a file that any user could replace by a rename: if others can write its directory, or one above it. A sticky
 * directory, such as `/tmp`, is accepted if its entry belongs to this user or to root. Members of a directory's group
 * are trusted. A file that does not exist is accepted in any other directory. Errors call the file `name`.
 * @throws ConfigError
 */
export function requireTrustedDirectories(name: string, path: string): void {
  const user = process.geteuid?.() ?? root;
  const target = realPathOf(path);
  for (const start of new Set([resolve(path), target])) {
    for (let entry = start; entry !== dirname(entry); entry = dirname(entry)) {
      const directory = dirname(entry);
      const permissions = statSync(directory, { throwIfNoEntry: false });
      if (permissions === undefined) continue;
      if (isReplaceable(permissions, lstatSync(entry, { throwIfNoEntry: false }), user)) {
        throw new ConfigError(`${name} can be replaced by other users: remove their write permission for ${directory}`);
      }
    }
  }
}

/** Whether other users can replace an entry of a directory. An entry that does not exist is undefined. */
export function isReplaceable(directory: Permissions, entry: Permissions | undefined, user: number): boolean {
  if ((directory.mode & writableByOthers) === 0) return false;
  if ((directory.mode & stickyBit) === 0) return true;
  return entry !== undefined && entry.uid !== user && entry.uid !== root;
}

/** The path without symbolic links, as far as it exists. */
function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}
