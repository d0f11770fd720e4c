import { closeSync } from 'node:fs';
import koffi from 'koffi';
import type { Load } from './load.js';
import type { Slot } from './staging.js';

/** Connections read natively at one time: each holds a thread of the pool, which has others to serve. */
const mostAtOnce = 4;
let atOnce = 0;

const libc = koffi.load(null);
const duplicate = libc.func('int dup(int descriptor)');
const poll = libc.func('int poll(uint8_t *descriptors, unsigned long count, int timeout_ms)');

/** `POLLRDHUP`, and what poll(2) tells unasked: `POLLERR`, `POLLHUP`. */
const peerClosed = 0x2000;
const broken = 0x08 | 0x10;

/** Whether the other end of a connection has closed its half, or all of it, however much of what it sent is unread. */
export function peerHasClosed(descriptor: number): boolean {
  const asked = Buffer.alloc(8); // struct pollfd: descriptor, what is asked, what is so
  asked.writeInt32LE(descriptor, 0);
  asked.writeInt16LE(peerClosed, 4);
  return poll(asked, 1, 0) > 0 && (asked.readInt16LE(6) & (peerClosed | broken)) !== 0;
}

/**
 * A connection whose bytes go straight into staging memory. It has a descriptor of its own, which stays good, and never
 * becomes another connection's, when the one it was made of is closed.
 */
export class DuplicatedSocket {
  readonly #descriptor: number;

  private constructor(descriptor: number) {
    this.#descriptor = descriptor;
    atOnce++;
  }

  /** Undefined where enough connections are read natively already, or the process has no descriptor left. */
  static open(descriptor: number): DuplicatedSocket | undefined {
    if (atOnce >= mostAtOnce) return undefined;
    const own = Number(duplicate(descriptor));
    return own < 0 ? undefined : new DuplicatedSocket(own);
  }

  /** Takes up to `bytes` bytes into a load while they keep coming; how many came. @throws VramError LENGTH_MISMATCH */
  receive(load: Load, bytes: number, slots: readonly Slot[]): Promise<number> {
    return load.socket(this.#descriptor, bytes, slots);
  }

  close(): void {
    atOnce--;
    closeSync(this.#descriptor);
  }
}
