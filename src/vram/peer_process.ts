import { closeSync, fstatSync, statfsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import koffi from 'koffi';
import { errnoName } from './errno.js';
import { isReadable, peerStateOf } from './socket.js';
import { SocketError } from './unix_socket.js';

const libc = koffi.load(null);
const getsockopt = libc.func(
  'int getsockopt(int descriptor, int level, int name, uint8_t *value, _Inout_ uint32_t *bytes)',
);
const syscall = libc.func('long syscall(long number, int pid, unsigned int flags)');

/** include/uapi/asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_PEERCRED = 17;
const SO_PEERGROUPS = 59;
/** Since Linux 6.5. */
const SO_PEERPIDFD = 77;
/** pidfd_open(2). The number is the same on all architectures. */
const SYS_pidfd_open = 434;

/** `PID_FS_MAGIC`, include/uapi/linux/magic.h. Since Linux 6.9 each process has an inode of its own there. */
const PID_FS_MAGIC = 0x50494446;

/** The process has no room for another descriptor. */
const noRoom = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);

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
 * @throws SocketError if no descriptor is free: a peer that could be watched must not count as one that cannot
 */
export function peerPidfd(descriptor: number, pid: number | null): number | undefined {
  const bytes = option(descriptor, SO_PEERPIDFD, 4);
  if (bytes !== undefined) return bytes.readInt32LE(0);
  requireRoom('getsockopt');
  if (pid === null) return undefined;
  const pidfd = Number(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) requireRoom('pidfd_open');
  if (pidfd < 0) return undefined;
  // If the connection is up after the call, the process has not ended before it, so its pid was not used again.
  if (peerStateOf(descriptor) !== 'closed') return pidfd;
  closeSync(pidfd);
  return undefined;
}

/** A number that identifies the process of a pidfd while it lives; undefined before Linux 6.9. */
export function processInode(pidfd: number): bigint | undefined {
  if (statfsSync(`/proc/self/fd/${pidfd}`).type !== PID_FS_MAGIC) return undefined;
  return fstatSync(pidfd, { bigint: true }).ino;
}

/** Whether a descriptor is a socket. Does not enter the file system of any other descriptor. */
export const isSocket = (descriptor: number): boolean => option(descriptor, SO_TYPE, 4) !== undefined;

/**
 * A pidfd of the process that has a pid now, which may not be the one that the caller means. The caller must close it.
 * Undefined if no process has the pid. @throws Error if the kernel does not say
 */
export function pidfdOf(pid: number): number | undefined {
  const pidfd = Number(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd >= 0) return pidfd;
  if (koffi.errno() === koffi.os.errno.ESRCH) return undefined;
  throw new Error('pidfd_open failed');
}

/**
 * When a process started, in clock ticks since the host's start: field 22 of proc_pid_stat(5). No two processes have the
 * same pid and start. Null if it cannot be read. Never rejects.
 */
export async function processStartTicks(pid: number): Promise<number | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The second field is the name, in parentheses, and may have any characters.
  const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  return Number.isSafeInteger(ticks) && ticks > 0 ? ticks : null;
}

/** Whether the process of a pidfd has ended. */
export const hasEnded = (pidfd: number): boolean => isReadable(pidfd);

function requireRoom(call: string): void {
  const code = errnoName();
  if (noRoom.has(code)) throw new SocketError(call, code);
}

function option(descriptor: number, name: number, maxBytes: number): Buffer | undefined {
  const value = Buffer.alloc(maxBytes);
  const bytes = [maxBytes];
  if (getsockopt(descriptor, SOL_SOCKET, name, value, bytes) !== 0) return undefined;
  return value.subarray(0, bytes[0]);
}
