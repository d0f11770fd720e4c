import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** The text of a file. Throws if it cannot be read. */
export type ReadText = (path: string) => string;

const readText: ReadText = (path) => readFileSync(path, 'utf8');

/**
 * Cores that this process can use: those that its affinity allows, or fewer if the CPU quota of its control groups allows
 * less. Reads files, so call it at start. Source: the kernel's Documentation/admin-guide/cgroup-v2.rst, `cpu.max`.
 */
export function usableCores(cores = availableParallelism(), read = readText): number {
  return Math.max(1, Math.min(cores, Math.ceil(quotaOf(read))));
}

/** The lowest quota of the control group and of those above it, in cores. Infinity without one. */
function quotaOf(read: ReadText): number {
  let quota = Number.POSITIVE_INFINITY;
  const group = /^0::(\/.*)$/m.exec(textOf(read, '/proc/self/cgroup'))?.[1] ?? '/';
  for (let path = group.replace(/\/$/, ''); ; path = path.slice(0, path.lastIndexOf('/'))) {
    const [limit, period] = textOf(read, `/sys/fs/cgroup${path}/cpu.max`).trim().split(' ').map(Number);
    if (limit !== undefined && period !== undefined && limit / period > 0) quota = Math.min(quota, limit / period);
    if (path === '') return quota;
  }
}

/** Empty if the file cannot be read: without control groups there is no quota. */
function textOf(read: ReadText, path: string): string {
  try {
    return read(path);
  } catch {
    return '';
  }
}
