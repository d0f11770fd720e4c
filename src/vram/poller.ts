import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { eventsOfEntry, POLLIN, POLLOUT, poll, pollEntries, setEntry } from './poll.js';

const libc = koffi.load(null);
const eventfd = libc.func('int eventfd(unsigned int value, int flags)');
const eventfdWrite = libc.func('int eventfd_write(int descriptor, uint64_t value)');
const eventfdRead = libc.func('int eventfd_read(int descriptor, _Out_ uint64_t *value)');

/** `EFD_NONBLOCK | EFD_CLOEXEC`: eventfd(2). */
const eventfdFlags = 0o4000 | 0o2000000;

/** The longest wait. Node joins its pool threads when the process exits. */
const timeoutMs = 1000;

/** What to wait for. */
export interface Interest {
  readonly readable: boolean;
  readonly writable: boolean;
}

/** What a descriptor is ready for. A descriptor that is closed or failed counts as both. */
export type Readiness = Interest;

/** One descriptor that is waited for. */
export interface Watch {
  set(interest: Interest): void;
  /** Ends the watch. Call it before the descriptor is closed. */
  end(): void;
}

interface Watched extends Interest {
  readonly descriptor: number;
  readonly onReady: (readiness: Readiness) => void;
}

/**
 * Waits for descriptors that Node's event loop cannot wait for: sockets that pass descriptors, and pidfds. The wait occupies
 * one thread of libuv's pool. Readiness is reported again for as long as it lasts, so a handler must use it up or change
 * its interest.
 */
export class Poller {
  readonly #watches = new Set<{ current: Watched }>();
  readonly #wake: number;
  /** koffi does not keep Buffer arguments alive. This reference does, until the call returns. */
  #buffer: Buffer | undefined;
  #isWoken = false;
  #isClosed = false;

  /** @throws Error if the process has no free descriptor */
  constructor() {
    this.#wake = Number(eventfd(0, eventfdFlags));
    if (this.#wake < 0) throw new Error('no descriptor is free');
  }

  /** Calls `onReady` on the event loop when the descriptor is ready. It must not throw. */
  watch(descriptor: number, interest: Interest, onReady: Watched['onReady']): Watch {
    const watch = { current: { ...interest, descriptor, onReady } };
    this.#watches.add(watch);
    this.#changed();
    return {
      set: ({ readable, writable }) => {
        if (watch.current.readable === readable && watch.current.writable === writable) return;
        watch.current = { ...watch.current, readable, writable };
        this.#changed();
      },
      end: () => {
        if (this.#watches.delete(watch)) this.#changed();
      },
    };
  }

  /** Ends all watches. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watches.clear();
    if (this.#buffer === undefined) closeSync(this.#wake);
    else this.#changed();
  }

  #changed(): void {
    if (this.#buffer === undefined) return void this.#wait();
    if (!this.#isWoken) eventfdWrite(this.#wake, 1);
    this.#isWoken = true;
  }

  #wait(): void {
    const watches = [...this.#watches].filter(({ current }) => current.readable || current.writable);
    const buffer = pollEntries(watches.length + 1);
    setEntry(buffer, 0, this.#wake, POLLIN);
    for (const [index, { current }] of watches.entries()) {
      const events = (current.readable ? POLLIN : 0) | (current.writable ? POLLOUT : 0);
      setEntry(buffer, index + 1, current.descriptor, events);
    }
    this.#buffer = buffer;
    poll.async(buffer, watches.length + 1, timeoutMs, (_error: unknown, ready: number) => {
      if (this.#isWoken) eventfdRead(this.#wake, [0]);
      // Handlers need not wake the thread: the next wait begins after them.
      this.#isWoken = true;
      if (ready > 0) this.#dispatch(buffer, watches);
      this.#isWoken = false;
      this.#buffer = undefined;
      if (this.#isClosed) closeSync(this.#wake);
      else this.#wait();
    });
  }

  #dispatch(buffer: Buffer, watches: readonly { current: Watched }[]): void {
    for (const [index, watch] of watches.entries()) {
      const events = eventsOfEntry(buffer, index + 1);
      const { current } = watch;
      if (events === 0 || !this.#watches.has(watch)) continue;
      const hasFailed = (events & ~(POLLIN | POLLOUT)) !== 0;
      const readable = current.readable && (hasFailed || (events & POLLIN) !== 0);
      const writable = current.writable && (hasFailed || (events & POLLOUT) !== 0);
      if (readable || writable) current.onReady({ readable, writable });
    }
  }
}
