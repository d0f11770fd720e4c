import koffi from 'koffi';

/** `RLIMIT_CORE`, setrlimit(2); `PR_SET_DUMPABLE`, prctl(2). */
const resourceCore = 4;
const setDumpable = 4;

/**
 * Keeps this process's memory, keys and all, out of core files: no core may be written (setrlimit), and the process is
 * not dumpable (prctl), which also holds where the kernel pipes cores to a program whatever the limit, and keeps other
 * processes of the same user from reading the memory (ptrace, /proc/PID/mem). Root still can. False where the kernel
 * refused either.
 */
export function forbidCoreDumps(): boolean {
  const libc = koffi.load(null);
  const setrlimit = libc.func('int setrlimit(int resource, const uint64_t *limit)');
  const prctl = libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)');
  const limited = setrlimit(resourceCore, new BigUint64Array([0n, 0n])) === 0;
  return prctl(setDumpable, 0, 0, 0, 0) === 0 && limited;
}
