import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { isReadable, peerStateOf } from './socket.js';

const libc = koffi.load(null);
const getsockopt = libc.func(
  'int getsockopt(int descriptor, int level, int name, uint8_t *value, _Inout_ uint32_t *bytes)',
);
const syscall = libc.func('long syscall(long number, int pid, unsigned int flags)');

/** include/uapi/asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SO_PEERGROUPS = 59;
/** Since Linux 6.5. */
const SO_PEERPIDFD = 77;
/** pidfd_open(2). The number is the same on all architectures. */
const SYS_pidfd_open = 434;

/** `NGROUPS_MAX`: the most supplementary groups of a process. */
const maxGroups = 65_536;

/** A process as the kernel saw it when it connected. */
export interface PeerCredentials {
  readonly uid: number;
  readonly gid: number;
  /** Null if the process is in another pid namespace. */
  readonly pid: number | null;
}

/** The credentials of the process that called connect(2). @throws Error if the descriptor is not a connected Unix socket */
export function peerCredentials(descriptor: number): PeerCredentials {
  const bytes = option(descriptor, SO_PEERCRED, 12);
  if (bytes === undefined) throw new Error('the socket has no peer');
  const pid = bytes.readInt32LE(0);
  return { pid: pid > 0 ? pid : null, uid: bytes.readUInt32LE(4), gid: bytes.readUInt32LE(8) };
}

/** The supplementary groups of the peer. */
export function peerGroups(descriptor: number): readonly number[] {
  const bytes = option(descriptor, SO_PEERGROUPS, 4 * maxGroups);
  return bytes === undefined ? [] : [...new Uint32Array(Uint8Array.from(bytes).buffer)];
}

/**
 * A pidfd of the peer, which becomes readable when the process has ended. The caller must close it. Undefined if the kernel
 * cannot tell who the peer is, or the peer has ended.
 */
export function peerPidfd(descriptor: number, pid: number | null): number | undefined {
  const bytes = option(descriptor, SO_PEERPIDFD, 4);
  if (bytes !== undefined) return bytes.readInt32LE(0);
  if (pid === null) return undefined;
  const pidfd = Number(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) return undefined;
  // If the connection is open after the call, the process has not ended before it, so its pid was not used again.
  if (peerStateOf(descriptor) === 'open') return pidfd;
  closeSync(pidfd);
  return undefined;
}

/** Whether the process of a pidfd has ended. */
export const hasEnded = (pidfd: number): boolean => isReadable(pidfd);

function option(descriptor: number, name: number, maxBytes: number): Buffer | undefined {
  const value = Buffer.alloc(maxBytes);
  const bytes = [maxBytes];
  if (getsockopt(descriptor, SOL_SOCKET, name, value, bytes) !== 0) return undefined;
  return value.subarray(0, bytes[0]);
}
