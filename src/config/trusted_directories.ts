import type { Stats } from 'node:fs';
import { lstat, readlink, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve, sep } from 'node:path';
import type { FileCalls } from '../storage/file_calls.js';
import { isMissing } from '../storage/fs.js';
import { ConfigError } from './config_error.js';

type Permissions = Pick<Stats, 'mode' | 'uid'>;

const root = 0;
const stickyBit = 0o1000;
const writableByOthers = 0o002;

/** As the kernel follows, which refuses paths with more (ELOOP). */
const maxLinks = 40;

/**
 * Refuses a file that any user could replace by a rename: if others can write a directory on the way to it, or on the way
 * that its links lead. A sticky directory, such as `/tmp`, is accepted if its entry belongs to this user or to root.
 * Members of a directory's group are trusted. A file that does not exist is accepted in any other directory. Errors call
 * the file `name`.
 * @throws ConfigError, FileTimeoutError
 */
export function requireTrustedDirectories(name: string, path: string, files: FileCalls): Promise<void> {
  return files.run(name, async () => {
    const user = process.geteuid?.() ?? root;
    for await (const entry of entriesTo(resolve(path))) {
      const directory = dirname(entry);
      const permissions = await ifExists(stat(directory));
      if (permissions !== undefined && isReplaceable(permissions, await ifExists(lstat(entry)), user)) {
        throw new ConfigError(`${name} can be replaced by other users: remove their write permission for ${directory}`);
      }
    }
  });
}

/** Each entry that the kernel looks up for an absolute path (path_resolution(7)). No directory above one is a link. */
async function* entriesTo(path: string): AsyncGenerator<string> {
  const names = path.split(sep);
  let directory: string = sep;
  for (let links = 0; links <= maxLinks; ) {
    const name = names.shift();
    if (name === undefined) return;
    // Neither an empty name nor a dot leads elsewhere, and `join` goes up for two dots.
    const entry = join(directory, name);
    if (['', '.', '..'].includes(name)) {
      directory = entry;
      continue;
    }
    yield entry;
    const target = await readlink(entry).catch(() => undefined);
    if (target === undefined) directory = entry;
    else {
      links += 1;
      names.unshift(...target.split(sep));
      if (isAbsolute(target)) directory = sep;
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
