import { closeSync } from 'node:fs';
import koffi from 'koffi';
import type { DescriptorLibrary, NativeReceived } from './descriptor_library.js';
import { shutDown } from './socket.js';

/** F_DUPFD_CLOEXEC of fcntl(2), include/uapi/linux/fcntl.h. */
const F_DUPFD_CLOEXEC = 1030;

/** SIOCOUTQ of unix(7), include/uapi/linux/sockios.h. */
const SIOCOUTQ = 0x5411;

const libc = koffi.load(null);
const fcntl = libc.func('int fcntl(int descriptor, int command, int argument)');
const ioctl = libc.func('int ioctl(int descriptor, unsigned long request, _Out_ int *value)');

/** What one read from a socket returned. */
export interface Received {
  readonly bytes: Buffer;
  /** The caller must close them. */
  readonly descriptors: readonly number[];
  /** Whether the peer sent more descriptors than were asked for, or than this process has room for. */
  readonly truncated: boolean;
}

/**
 * A connected Unix stream socket that passes file descriptors, which Node's sockets cannot. It owns a duplicate of the
 * socket's descriptor: when Node closes the original, the kernel may reuse its number for another connection, which
 * must not get the descriptors. No method blocks.
 */
export class DescriptorSocket {
  readonly #library: DescriptorLibrary;
  readonly #descriptor: number;
  #users = 0;
  #holds = 0;
  #closed = false;
  #isReleased = false;

  /** @throws VramError if the process has no free descriptor, or if the number is not open */
  constructor(library: DescriptorLibrary, descriptor: number) {
    this.#library = library;
    this.#descriptor = Number(fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
    if (this.#descriptor < 0) throw library.noDescriptor();
  }

  /** For `Poller`, which must stop before `close`. @throws VramError after `close` */
  get descriptor(): number {
    return this.#open();
  }

  /** Whether the connection has ended here. The descriptor can still be held. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Bytes, with the kernel's overhead, that the peer has not read. 0 if it has closed its end. */
  get unreadBytes(): number {
    const value = [0];
    return this.#isReleased || ioctl(this.#descriptor, SIOCOUTQ, value) !== 0 ? 0 : Number(value[0]);
  }

  /**
   * Runs native work on another thread with the descriptor. `close` waits for it, because a closed number could belong to
   * another connection before the work uses it. @throws VramError after `close`
   */
  async use<T>(work: (descriptor: number) => Promise<T>): Promise<T> {
    const descriptor = this.#open();
    this.#users++;
    try {
      return await work(descriptor);
    } finally {
      this.#users--;
      this.#closeIfUnused();
    }
  }

  /**
   * Keeps the descriptor open after `close`, for `unreadBytes`, until the returned function is called once. The connection
   * ends at `close`. @throws VramError after `close`
   */
  hold(): () => void {
    this.#open();
    this.#holds++;
    return () => {
      this.#holds--;
      this.#closeIfUnused();
    };
  }

  /**
   * Sends a frame, with descriptors attached to its first byte. They stay the caller's. Returns how many bytes the
   * socket took; the caller sends the rest without descriptors. 0 means that it took nothing. @throws VramError
   */
  send(frame: Uint8Array, descriptors: readonly number[] = []): number {
    const sent = [0];
    const numbers = Int32Array.from(descriptors);
    const arguments_ = [this.#open(), frame, frame.length, numbers, numbers.length, sent];
    return this.#library.call('vram_send', ...arguments_) ? Number(sent[0]) : 0;
  }

  /**
   * Receives up to `maxBytes` bytes and the descriptors that came with them, at most `maxDescriptors`. Undefined if
   * nothing has arrived. @throws VramError if the connection ended
   */
  receive(maxBytes: number, maxDescriptors: number): Received | undefined {
    const buffer = Buffer.alloc(maxBytes);
    const numbers = new Int32Array(maxDescriptors);
    const out: Partial<NativeReceived> = {};
    if (!this.#library.call('vram_receive', this.#open(), buffer, maxBytes, numbers, maxDescriptors, out)) {
      return undefined;
    }
    return {
      bytes: buffer.subarray(0, Number(out.bytes)),
      descriptors: [...numbers.subarray(0, out.descriptor_count)],
      truncated: out.truncated === 1,
    };
  }

  /** Closes the duplicate. The connection ends when Node's own descriptor is closed too. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeIfUnused();
  }

  #open(): number {
    if (this.#closed) throw this.#library.noDescriptor();
    return this.#descriptor;
  }

  #closeIfUnused(): void {
    if (!this.#closed || this.#users > 0 || this.#isReleased) return;
    if (this.#holds > 0) return void shutDown(this.#descriptor);
    this.#isReleased = true;
    closeSync(this.#descriptor);
  }
}
