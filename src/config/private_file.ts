import { readFileSync, type Stats, statSync } from 'node:fs';
import { ConfigError } from './config_error.js';

type Permissions = Pick<Stats, 'mode' | 'uid'>;

const root = 0;

/** The bytes of a file that other users cannot read. Errors call the file `name`. @throws ConfigError */
export function readPrivate(name: string, path: string): Buffer {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) throw new ConfigError(`${name} does not exist or is not a file`);
  const user = process.geteuid?.() ?? root;
  if (!isPrivate(stat, user)) throw new ConfigError(`${name} is readable by other users: ${adviceFor(user)}`);
  return readBytes(name, path);
}

/** The bytes of a regular file. A pipe could block the process for ever. @throws ConfigError */
export function readBytes(name: string, path: string): Buffer {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) throw new ConfigError(`${name} is not a file`);
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ConfigError(`${name} cannot be read`, { cause });
  }
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
