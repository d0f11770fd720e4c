import { closeSync } from 'node:fs';
import koffi from 'koffi';
import type { LoadWriter } from './load_writer.js';
import { eventsOfEntry, POLLERR, POLLHUP, POLLIN, POLLRDHUP, poll, pollEntries, setEntry } from './poll.js';
import type { Slot } from './staging.js';

/** Sockets read natively at a time. Each occupies a thread of libuv's pool, which has at least 24. */
const maxOpen = 8;
let openCount = 0;

const libc = koffi.load(null);
const dup = libc.func('int dup(int descriptor)');
const shutdown = libc.func('int shutdown(int descriptor, int how)');
const setsockopt = libc.func('int setsockopt(int descriptor, int level, int option, int *value, unsigned int bytes)');

/** sys/socket.h. */
const SHUT_RDWR = 2;

/** Level and option of tcp(7), include/uapi/linux/tcp.h. */
const IPPROTO_TCP = 6;
const TCP_NOTSENT_LOWAT = 25;

/**
 * - `half-closed`: the peer sends nothing more, and may still read.
 * - `closed`: the connection was reset, or both halves are closed.
 */
export type PeerState = 'open' | 'half-closed' | 'closed';

/** What the kernel knows of the peer of a connection, even if unread bytes remain. */
export function peerStateOf(descriptor: number): PeerState {
  const events = eventsOf(descriptor, POLLRDHUP);
  if ((events & (POLLERR | POLLHUP)) !== 0) return 'closed';
  return (events & POLLRDHUP) !== 0 ? 'half-closed' : 'open';
}

/** Limits the bytes that the kernel buffers but cannot send yet. Connections inherit it from their listener. */
export function limitUnsentBytes(descriptor: number, bytes: number): void {
  setsockopt(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, [bytes], 4);
}

/** Ends both directions of a connection (shutdown(2)), also for duplicates of its descriptor: native reads then end. */
export function shutDown(descriptor: number): void {
  shutdown(descriptor, SHUT_RDWR);
}

/** Whether a read would not block now. */
export const isReadable = (descriptor: number): boolean => eventsOf(descriptor, POLLIN) !== 0;

function eventsOf(descriptor: number, events: number): number {
  const entries = pollEntries(1);
  setEntry(entries, 0, descriptor, events);
  return poll(entries, 1, 0) <= 0 ? 0 : eventsOfEntry(entries, 0);
}

/**
 * A connection that libvram reads into staging slots, without Node. It owns a duplicate of the socket's descriptor
 * (dup(2)). The duplicate stays valid when Node closes the original, whose number the kernel may then reuse for another
 * connection.
 */
export class DuplicatedSocket {
  readonly #descriptor: number;

  private constructor(descriptor: number) {
    this.#descriptor = descriptor;
    openCount++;
  }

  /** Undefined if too many sockets are open natively, or if the process has no free descriptor. */
  static open(descriptor: number): DuplicatedSocket | undefined {
    if (openCount >= maxOpen) return undefined;
    const duplicate = Number(dup(descriptor));
    return duplicate < 0 ? undefined : new DuplicatedSocket(duplicate);
  }

  /** Receives at most `bytes` into a load, and returns how many arrived; see `LoadWriter.socket`. */
  receive(load: LoadWriter, bytes: number, slots: readonly Slot[]): Promise<number> {
    return load.socket(this.#descriptor, bytes, slots);
  }

  close(): void {
    openCount--;
    closeSync(this.#descriptor);
  }
}
