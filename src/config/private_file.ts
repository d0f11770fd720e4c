import { constants, type Stats } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { FileCalls } from '../storage/file_calls.js';
import { isMissing } from '../storage/fs.js';
import { ConfigError } from './config_error.js';

type Permissions = Pick<Stats, 'mode' | 'uid'>;

const root = 0;

/** More than a bundle of all public CAs. */
const maxBytes = 1024 ** 2;

/** The bytes of a file that other users cannot read. Errors call the file `name`. @throws ConfigError, FileTimeoutError */
export function readPrivate(name: string, path: string, files: FileCalls): Promise<Buffer> {
  const user = process.geteuid?.() ?? root;
  return files.run(name, () =>
    readChecked(name, path, (stat) => {
      if (!isPrivate(stat, user)) throw new ConfigError(`${name} is readable by other users: ${adviceFor(user)}`);
    }),
  );
}

/** The bytes of a file that other users cannot write. Errors call the file `name`. @throws ConfigError, FileTimeoutError */
export function readUnwritable(name: string, path: string, files: FileCalls): Promise<Buffer> {
  const user = process.geteuid?.() ?? root;
  return files.run(name, () =>
    readChecked(name, path, ({ mode, uid }) => {
      const isOwn = uid === user || uid === root;
      if (!isOwn || (mode & 0o022) !== 0)
        throw new ConfigError(`${name} is writable by other users: use mode 0644 or 0600`);
    }),
  );
}

/** The bytes of a regular file. Errors call the file `name`. @throws ConfigError, FileTimeoutError */
export function readBytes(name: string, path: string, files: FileCalls): Promise<Buffer> {
  return files.run(name, () => readChecked(name, path, () => undefined));
}

/**
 * Whether a process of this user may take the file for a secret. systemd and Kubernetes give a non-root process a file
 * of root, which the process reads as a member of the group or through an ACL. The mode then shows a group that may read.
 */
export function isPrivate({ mode, uid }: Permissions, user: number): boolean {
  const forbidden = uid === root && user !== root ? 0o037 : 0o077;
  return (mode & forbidden) === 0;
}

const adviceFor = (user: number): string =>
  user === root ? 'use mode 0600' : 'use mode 0600, or 0440 if root owns the file';

/** Checks and reads the same open file, so a rename between the two has no effect. */
async function readChecked(name: string, path: string, check: (stat: Stats) => void): Promise<Buffer> {
  // An open of a pipe must not wait for its writer.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
  const file = await open(path, flags).catch((cause: unknown) => {
    throw new ConfigError(`${name} ${isMissing(cause) ? 'names a file that does not exist' : 'cannot be read'}`, {
      cause,
    });
  });
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new ConfigError(`${name} is not a file`);
    check(stat);
    return await readAll(name, file);
  } catch (cause) {
    throw cause instanceof ConfigError ? cause : new ConfigError(`${name} cannot be read`, { cause });
  } finally {
    await file.close();
  }
}

/** Reads into one buffer, and wipes what it copies from: `FileHandle.readFile` leaves copies of a secret in memory. */
async function readAll(name: string, file: FileHandle): Promise<Buffer> {
  const buffer = Buffer.alloc(maxBytes + 1);
  try {
    let length = 0;
    let count = 0;
    do {
      count = (await file.read(buffer, length, buffer.length - length, length)).bytesRead;
      length += count;
    } while (count > 0);
    if (length > maxBytes) throw new ConfigError(`${name} is larger than 1 MiB`);
    return Buffer.from(buffer.subarray(0, length));
  } finally {
    buffer.fill(0);
  }
}
