import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { WorkerError } from '../errors.js';

/** An open regular file, and its size when it was opened. */
export interface ModelFile {
  readonly descriptor: number;
  readonly bytes: number;
  /** @throws WorkerError LENGTH_MISMATCH if the size or the modification time has changed since the open */
  requireUnchanged(): void;
  close(): void;
}

/** The system call's number on all architectures that Node supports: openat2(2), include/uapi/asm-generic/unistd.h. */
const SYS_openat2 = 437;
/** include/uapi/linux/openat2.h */
const RESOLVE_NO_MAGICLINKS = 0x02n;
const RESOLVE_BENEATH = 0x08n;
/** `struct open_how`: u64 flags, u64 mode, u64 resolve. */
const openHow = { bytes: 24, flags: 0, resolve: 16 };
/** include/uapi/asm-generic/fcntl.h; `node:fs` does not export it. */
const O_CLOEXEC = 0o2000000;

// glibc has no wrapper of openat2.
const syscall = koffi.load(null).func('long syscall(long number, long directory, str path, void *how, size_t bytes)');

/**
 * Opens a regular file below a directory, read-only. The kernel resolves the path, so neither a link, `..` nor a race
 * leads outside. @throws WorkerError NOT_FOUND; INVALID_PARAMS if the path leads outside or is not a regular file
 */
export function openBeneath(directory: string, path: string): ModelFile {
  const descriptor = openPath(directory, path);
  try {
    const opened = fstatSync(descriptor, { bigint: true });
    if (!opened.isFile()) throw new WorkerError('INVALID_PARAMS', 'source.path is not a regular file');
    return {
      descriptor,
      bytes: Number(opened.size),
      requireUnchanged: () => {
        const now = fstatSync(descriptor, { bigint: true });
        if (now.size === opened.size && now.mtimeNs === opened.mtimeNs) return;
        throw new WorkerError('LENGTH_MISMATCH', 'The file changed while it was read');
      },
      close: () => closeSync(descriptor),
    };
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function openPath(directory: string, path: string): number {
  const base = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const how = Buffer.alloc(openHow.bytes);
    // O_NONBLOCK: an open of a FIFO would wait for its writer.
    how.writeBigUInt64LE(BigInt(constants.O_RDONLY | constants.O_NONBLOCK | O_CLOEXEC), openHow.flags);
    how.writeBigUInt64LE(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS, openHow.resolve);
    const descriptor = Number(syscall(SYS_openat2, base, path, how, how.length));
    if (descriptor >= 0) return descriptor;
    throw openError(koffi.errno());
  } finally {
    closeSync(base);
  }
}

function openError(errno: number): WorkerError {
  const { ENOENT, ENOTDIR, EXDEV, ELOOP, ENAMETOOLONG } = koffi.os.errno;
  if (errno === ENOENT || errno === ENOTDIR)
    return new WorkerError('NOT_FOUND', 'The file does not exist in the model directory');
  if (errno === EXDEV || errno === ELOOP || errno === ENAMETOOLONG) {
    return new WorkerError('INVALID_PARAMS', 'source.path leads outside the model directory');
  }
  return new WorkerError('INVALID_PARAMS', 'source.path cannot be opened');
}
