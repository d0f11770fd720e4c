import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { WorkerError } from '../errors.js';

/** A regular file, open, with the size it had then. */
export interface ModelFile {
  readonly descriptor: number;
  readonly bytes: number;
  /** @throws WorkerError LENGTH_MISMATCH when the file has changed since it was opened */
  requireUnchanged(): void;
  close(): void;
}

/** `openat2` and its `RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS`; openat2(2), include/uapi/linux/openat2.h. */
const openat2 = { number: 437, resolve: 0x08n | 0x02n, howBytes: 24 };

const syscall = koffi.load(null).func('long syscall(long number, long directory, str path, void *how, size_t bytes)');

/**
 * Opens a regular file below a directory for reading. The kernel resolves the path, so no link, `..` or race leads out.
 * @throws WorkerError NOT_FOUND, INVALID_PARAMS (outside, or no regular file)
 */
export function openBeneath(directory: string, path: string): ModelFile {
  const descriptor = resolve(directory, path);
  try {
    const opened = fstatSync(descriptor, { bigint: true });
    if (!opened.isFile()) throw new WorkerError('INVALID_PARAMS', 'source.path is no regular file');
    return {
      descriptor,
      bytes: Number(opened.size),
      requireUnchanged: () => {
        const now = fstatSync(descriptor, { bigint: true });
        if (now.size === opened.size && now.mtimeNs === opened.mtimeNs) return;
        throw new WorkerError('LENGTH_MISMATCH', 'the file changed while it was read');
      },
      close: () => closeSync(descriptor),
    };
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function resolve(directory: string, path: string): number {
  const base = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const how = Buffer.alloc(openat2.howBytes);
    how.writeBigUInt64LE(BigInt(constants.O_RDONLY | constants.O_NONBLOCK | 0o2000000), 0); // O_CLOEXEC
    how.writeBigUInt64LE(openat2.resolve, 16);
    const descriptor = Number(syscall(openat2.number, base, path, how, how.length));
    if (descriptor >= 0) return descriptor;
    const { ENOENT, ENOTDIR, EXDEV, ELOOP, ENAMETOOLONG } = koffi.os.errno;
    const reason = koffi.errno();
    if (reason === ENOENT || reason === ENOTDIR)
      throw new WorkerError('NOT_FOUND', 'no such file in the model directory');
    if (reason === EXDEV || reason === ELOOP || reason === ENAMETOOLONG) {
      throw new WorkerError('INVALID_PARAMS', 'source.path does not stay inside the model directory');
    }
    throw new WorkerError('INVALID_PARAMS', 'source.path can not be opened');
  } finally {
    closeSync(base);
  }
}
