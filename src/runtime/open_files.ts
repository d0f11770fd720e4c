import { readFileSync } from 'node:fs';

/** Connections of probes, beyond the limit of connections. */
export const probeDescriptors = 64;

/** Descriptors of probes, of a message to the keeper (64), and of libraries, logs, the manifest and remote sources. */
const reserved = probeDescriptors + 128;

/** A lower limit leaves too few descriptors for clients. */
export const minOpenFiles = ({ attach }: { readonly attach: boolean }): number => (attach ? 512 : 256);

/** The descriptors that each part of the worker may have open. Together they are below the limit of open files. */
export interface DescriptorShares {
  /** Model files of this host. Pulls hold at most half of them. */
  readonly files: number;
  /** Processes that attach shards, their connections, and memory on its way to them. */
  readonly attach: number;
  /** HTTP connections. */
  readonly connections: number;
}

/** How many descriptors this process may have open: the soft limit of proc_pid_limits(5). Infinity if it is unknown. */
export function maxOpenFiles(): number {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Divides the limit of open files. `attach`: whether processes may attach shards. */
export function descriptorShares({ attach = false, limit = maxOpenFiles() } = {}): DescriptorShares {
  const rest = Math.max(0, limit - reserved);
  const share = (part: number): number => Math.floor(part * rest);
  return attach
    ? { files: share(1 / 4), attach: share(3 / 8), connections: Math.max(1, share(3 / 8)) }
    : { files: share(1 / 4), attach: 0, connections: Math.max(1, share(3 / 4)) };
}
