import fs, { constants, type Stats } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

/** The file system calls of this layer, on descriptors, off the event loop. Tests substitute calls that fail. */
export interface FileSystem {
  access(path: string, mode: number): Promise<void>;
  close(descriptor: number): Promise<void>;
  fchmod(descriptor: number, mode: number): Promise<void>;
  fdatasync(descriptor: number): Promise<void>;
  fstat(descriptor: number): Promise<Stats>;
  fsync(descriptor: number): Promise<void>;
  ftruncate(descriptor: number, bytes: number): Promise<void>;
  open(path: string, flags: string | number, mode?: number): Promise<number>;
  /** Reads into `buffer` from `offset` on. Returns how many bytes were read. */
  read(descriptor: number, buffer: Buffer, offset: number, position: number): Promise<number>;
  readdir(path: string): Promise<string[]>;
  readlink(path: string): Promise<string>;
  realpath(path: string): Promise<string>;
  rename(from: string, to: string): Promise<void>;
  stat(path: string): Promise<Stats>;
  statfs(path: string): Promise<{ readonly bavail: number; readonly bsize: number; readonly type: number }>;
  unlink(path: string): Promise<void>;
  /** Writes `buffer` from `offset` on. Returns how many bytes were written. */
  write(descriptor: number, buffer: Buffer, offset: number): Promise<number>;
}

type Done<T> = (error: Error | null, value: T) => void;

const call = <T>(run: (done: Done<T>) => void): Promise<T> =>
  new Promise((resolve, reject) => run((error, value) => (error === null ? resolve(value) : reject(error))));

/** Node's calls. Each is looked up when it is made. */
export const nodeFileSystem: FileSystem = {
  access: (path, mode) => call((done: Done<void>) => fs.access(path, mode, (error) => done(error))),
  close: (descriptor) => call((done: Done<void>) => fs.close(descriptor, (error) => done(error ?? null))),
  fchmod: (descriptor, mode) => call((done: Done<void>) => fs.fchmod(descriptor, mode, (error) => done(error))),
  fdatasync: (descriptor) => call((done: Done<void>) => fs.fdatasync(descriptor, (error) => done(error))),
  fstat: (descriptor) => call((done: Done<Stats>) => fs.fstat(descriptor, done)),
  fsync: (descriptor) => call((done: Done<void>) => fs.fsync(descriptor, (error) => done(error))),
  ftruncate: (descriptor, bytes) => call((done: Done<void>) => fs.ftruncate(descriptor, bytes, (error) => done(error))),
  open: (path, flags, mode) => call((done: Done<number>) => fs.open(path, flags, mode, done)),
  read: (descriptor, buffer, offset, position) =>
    call((done: Done<number>) => fs.read(descriptor, buffer, offset, buffer.length - offset, position, done)),
  readdir: (path) => call((done: Done<string[]>) => fs.readdir(path, done)),
  readlink: (path) => call((done: Done<string>) => fs.readlink(path, done)),
  realpath: (path) => call((done: Done<string>) => fs.realpath(path, done)),
  rename: (from, to) => call((done: Done<void>) => fs.rename(from, to, (error) => done(error))),
  stat: (path) => call((done: Done<Stats>) => fs.stat(path, done)),
  statfs: (path) => call((done: Done<fs.StatsFs>) => fs.statfs(path, done)),
  unlink: (path) => call((done: Done<void>) => fs.unlink(path, (error) => done(error))),
  write: (descriptor, buffer, offset) =>
    call((done: Done<number>) => fs.write(descriptor, buffer, offset, buffer.length - offset, null, done)),
};

/** As `stat`, but undefined if the path does not exist. @throws other errors of stat(2) */
export async function statIfExists(fs: FileSystem, path: string): Promise<Stats | undefined> {
  try {
    return await fs.stat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** A path names a directory, a pipe or a device in place of a file. */
export class NotRegularFileError extends Error {
  override readonly name = 'NotRegularFileError';

  constructor() {
    super('it is not a regular file');
  }
}

/** @throws NotRegularFileError */
export function requireRegular(stat: Stats): void {
  if (!stat.isFile()) throw new NotRegularFileError();
}

/** Opens a file to read. Does not wait for the writer of a pipe. @throws NotRegularFileError, and the errors of open(2) */
export async function openRegular(
  fs: FileSystem,
  path: string,
): Promise<{ readonly descriptor: number; readonly bytes: number }> {
  const descriptor = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stat = await fs.fstat(descriptor);
    requireRegular(stat);
    return { descriptor, bytes: stat.size };
  } catch (error) {
    await fs.close(descriptor);
    throw error;
  }
}

/** Whether a call failed because the path does not exist. */
export const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');

/** Whether a call failed because the disk, or the user's quota of it, is full. */
export const isFull = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');

/** The file that a path names through symbolic links, also if the file does not exist yet. Never rejects. */
export async function realPath(fs: FileSystem, path: string): Promise<string> {
  try {
    return await fs.realpath(path);
  } catch (error) {
    if (!isMissing(error)) return path;
  }
  const directory = await fs.realpath(dirname(path)).catch(() => dirname(path));
  const target = await fs.readlink(path).catch(() => undefined);
  return target === undefined ? join(directory, basename(path)) : realPath(fs, resolve(directory, target));
}

/** Syncs a directory, so that the name of a new file survives a crash (fsync(2)). */
export async function syncDirectory(fs: FileSystem, path: string): Promise<void> {
  const descriptor = await fs.open(path, 'r');
  try {
    await fs.fsync(descriptor);
  } finally {
    await fs.close(descriptor);
  }
}
