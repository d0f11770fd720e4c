import koffi from 'koffi';

/** `RLIMIT_CORE`: getrlimit(2), include/uapi/asm-generic/resource.h. */
const RLIMIT_CORE = 4;
/** `PR_SET_DUMPABLE`: prctl(2), include/uapi/linux/prctl.h. */
const PR_SET_DUMPABLE = 4;

/**
 * Keeps this process's memory, with its keys, out of core dumps. `RLIMIT_CORE` forbids core files, but a core that the
 * kernel pipes to a program ignores the limit (core(5)). So the process is also made not dumpable. Other processes of
 * the same user then cannot read its memory either (ptrace(2), proc(5)). Root still can.
 * @returns false if the kernel refused either call
 */
export function forbidCoreDumps(): boolean {
  const libc = koffi.load(null);
  const setrlimit = libc.func('int setrlimit(int resource, const uint64_t *limit)');
  const prctl = libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)');
  const limited = setrlimit(RLIMIT_CORE, new BigUint64Array([0n, 0n])) === 0;
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) === 0 && limited;
}
