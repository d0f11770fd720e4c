import type Koffi from 'koffi';
import type { LibraryHandle } from 'koffi';

type KoffiFunction = ReturnType<LibraryHandle['func']>;

/** `EFD_NONBLOCK | EFD_CLOEXEC`: eventfd(2). */
const eventfdFlags = 0o4000 | 0o2000000;
const POLLIN = 0x0001;
/** `struct pollfd`: int fd, short events, short revents. */
const pollfd = { bytes: 8, events: 4, revents: 6 };
/** The longest wait. */
const timeoutMs = 1000;

/**
 * Waits until descriptors are readable. Node's event loop cannot wait for descriptors of this kind, so poll(2) waits on
 * one thread of libuv's pool, for all clients of the process. It waits only while a descriptor is watched.
 */
export class Poller {
  static #shared: Poller | undefined;

  readonly #poll: KoffiFunction;
  readonly #eventfdWrite: KoffiFunction;
  readonly #eventfdRead: KoffiFunction;
  readonly #wake: number;
  readonly #watches = new Map<number, () => void>();
  /** koffi does not keep Buffer arguments alive. This reference does, until the call returns. */
  #buffer: Buffer | undefined;

  private constructor(koffi: typeof Koffi) {
    const libc = koffi.load(null);
    this.#poll = libc.func('int poll(uint8_t *descriptors, unsigned long count, int timeout_ms)');
    this.#eventfdWrite = libc.func('int eventfd_write(int descriptor, uint64_t value)');
    this.#eventfdRead = libc.func('int eventfd_read(int descriptor, _Out_ uint64_t *value)');
    this.#wake = Number(libc.func('int eventfd(unsigned int value, int flags)')(0, eventfdFlags));
    if (this.#wake < 0) throw new Error('no descriptor is free');
    // Node joins its pool threads when the process exits.
    process.once('exit', () => void this.#eventfdWrite(this.#wake, 1));
  }

  /** The poller of the process. */
  static shared(koffi: typeof Koffi): Poller {
    Poller.#shared ??= new Poller(koffi);
    return Poller.#shared;
  }

  /** Calls `onReadable` on the event loop, once, when a descriptor is readable. */
  once(descriptor: number, onReadable: () => void): void {
    this.#watches.set(descriptor, onReadable);
    this.#changed();
  }

  /** Ends the wait for a descriptor. It can be closed when the promise resolves. */
  async end(descriptor: number): Promise<void> {
    if (this.#watches.delete(descriptor)) this.#changed();
    const waited = this.#buffer;
    while (waited !== undefined && this.#buffer === waited) await new Promise((resolve) => setImmediate(resolve));
  }

  #changed(): void {
    if (this.#buffer === undefined) this.#wait();
    else this.#eventfdWrite(this.#wake, 1);
  }

  #wait(): void {
    if (this.#watches.size === 0) return;
    const descriptors = [this.#wake, ...this.#watches.keys()];
    const buffer = Buffer.alloc(descriptors.length * pollfd.bytes);
    for (const [index, descriptor] of descriptors.entries()) {
      buffer.writeInt32LE(descriptor, index * pollfd.bytes);
      buffer.writeInt16LE(POLLIN, index * pollfd.bytes + pollfd.events);
    }
    this.#buffer = buffer;
    this.#poll.async(buffer, descriptors.length, timeoutMs, () => {
      this.#eventfdRead(this.#wake, [0]);
      for (const [index, descriptor] of descriptors.entries()) {
        if (buffer.readInt16LE(index * pollfd.bytes + pollfd.revents) === 0) continue;
        const onReadable = this.#watches.get(descriptor);
        this.#watches.delete(descriptor);
        onReadable?.();
      }
      this.#buffer = undefined;
      this.#wait();
    });
  }
}
