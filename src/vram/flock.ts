import koffi from 'koffi';

/** `LOCK_EX | LOCK_NB`: flock(2), include/uapi/asm-generic/fcntl.h. */
const lockExclusiveNonBlocking = 2 | 4;

const libc = koffi.load(null);
const flock = libc.func('int flock(int descriptor, int operation)');
const dup = libc.func('int dup(int descriptor)');

/**
 * Locks an open file exclusively (flock(2)). Off the event loop, because a network file system can be slow. Does not wait
 * for another holder. Returns 0 or the error number.
 */
export const lockDescriptor = (descriptor: number): Promise<number> =>
  new Promise((resolve, reject) => {
    flock.async(descriptor, lockExclusiveNonBlocking, (error: Error | null, result: number) => {
      if (error !== null) reject(error);
      else resolve(result === 0 ? 0 : koffi.errno());
    });
  });

/** A second descriptor of the same open file, which shares its lock (dup(2)). @throws Error with the error number */
export function duplicateDescriptor(descriptor: number): number {
  const duplicate = Number(dup(descriptor));
  if (duplicate < 0) throw new Error(`dup failed with error ${koffi.errno()}`);
  return duplicate;
}
