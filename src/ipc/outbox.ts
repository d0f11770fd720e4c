import { WorkerError } from '../errors.js';
import { Waiters } from '../runtime/waiters.js';
import type { DescriptorSocket } from '../vram/descriptor_socket.js';

/** Bytes of frames that may wait. Beyond that the peer does not read, and its session ends. */
const maxQueuedBytes = 2 * 1024 * 1024;

/** How long a peer may take to make room for the memory's frame, and for the rest of that frame. */
const transferMs = 5000;

/** How often a socket is asked whether the peer has read everything. The kernel does not report it. */
const unreadCheckMs = 10;

/** An attempt to send memory: its frame, and how many bytes of that the socket took. */
export interface Transfer {
  readonly frame: Uint8Array;
  /** 0 if nothing was sent. */
  readonly sentBytes: number;
}

interface Entry {
  readonly bytes: Uint8Array;
  readonly onSent: () => void;
}

/**
 * Sends the frames of a session in order. The descriptors of memory travel with the first byte of their frame, so that frame
 * is sent only when nothing else is left to send. Nothing blocks.
 */
export class Outbox {
  readonly #socket: DescriptorSocket;
  readonly #onInterest: () => void;
  readonly #onFailure: () => void;
  #queue: Entry[] = [];
  #queuedBytes = 0;
  /** Memory is being sent: all other frames wait. */
  #isReserved = false;
  #isClosed = false;
  /** The peer no longer reads. What it sent before is still served, so its frames are dropped. */
  #isBroken = false;
  /** The memory waits until the socket has room. */
  #needsRoom = false;
  /** They are woken when the socket has room, or the queue is empty, or the outbox is closed. */
  readonly #waiting = new Waiters();

  /** `onInterest` is called when `wantsRoom` may have changed, `onFailure` when the session must end. */
  constructor(socket: DescriptorSocket, onInterest: () => void, onFailure: () => void) {
    this.#socket = socket;
    this.#onInterest = onInterest;
    this.#onFailure = onFailure;
  }

  /** Whether frames wait until the socket has room. */
  get wantsRoom(): boolean {
    return this.#isReserved ? this.#needsRoom : this.#queue.length > 0;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0 && !this.#isReserved;
  }

  /** Sends a frame as soon as possible. Never throws. */
  send(frame: Uint8Array): void {
    if (this.#isClosed || this.#isBroken) return;
    if (this.#queuedBytes + frame.length > maxQueuedBytes) return void this.#onFailure();
    this.#queue.push({ bytes: frame, onSent: () => undefined });
    this.#queuedBytes += frame.length;
    this.flush();
  }

  /** The socket has room. */
  flush(): void {
    try {
      while (!this.#isReserved && !this.#isClosed && this.#sendFirst());
    } catch {
      this.#break();
    }
    if (this.#isReserved || this.#queue.length === 0) this.#wake();
    this.#onInterest();
  }

  /**
   * Sends memory with the frame that describes it, by `attempt`, which is called again until the socket takes a byte. First
   * waits until the peer has read everything before it, so that each connection has one unread message with descriptors.
   * @throws WorkerError UPLOAD_TIMEOUT if the peer does not read, and the errors of `attempt`; nothing was sent then
   */
  async handOver(attempt: (socket: DescriptorSocket) => Promise<Transfer>): Promise<void> {
    const endMs = performance.now() + transferMs;
    while (this.#queue.length > 0) await this.#change(endMs);
    this.#isReserved = true;
    try {
      // Not by `#needsRoom`: the socket has room, so its readiness would be reported again and again.
      while (this.#socket.unreadBytes > 0) await this.#change(endMs, unreadCheckMs);
      for (;;) {
        const { frame, sentBytes } = await attempt(this.#socket);
        if (sentBytes > 0) return this.#sendRest(frame.subarray(sentBytes));
        this.#needsRoom = true;
        await this.#change(endMs);
      }
    } finally {
      this.#needsRoom = false;
      this.#isReserved = false;
      this.flush();
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#queue = [];
    this.#wake();
  }

  #break(): void {
    this.#isBroken = true;
    for (const { onSent } of this.#queue.splice(0)) onSent();
    this.#queuedBytes = 0;
  }

  /** Returns whether the first frame was sent completely. @throws VramError */
  #sendFirst(): boolean {
    const [first] = this.#queue;
    if (first === undefined) return false;
    const sentBytes = this.#socket.send(first.bytes);
    this.#queuedBytes -= sentBytes;
    if (sentBytes < first.bytes.length) {
      this.#queue[0] = { ...first, bytes: first.bytes.subarray(sentBytes) };
      return sentBytes > 0;
    }
    this.#queue.shift();
    first.onSent();
    return true;
  }

  /** The rest goes before all other frames, without descriptors. */
  #sendRest(rest: Uint8Array): void {
    if (rest.length === 0) return;
    const timer = setTimeout(this.#onFailure, transferMs).unref();
    this.#queue.unshift({ bytes: rest, onSent: () => clearTimeout(timer) });
    this.#queuedBytes += rest.length;
  }

  /** Resolves when the socket has room or the queue is empty, or after `maxMs`. @throws WorkerError */
  async #change(endMs: number, maxMs = transferMs): Promise<void> {
    const changed = this.#waiting.wait(Math.min(maxMs, Math.max(0, endMs - performance.now())));
    this.#onInterest();
    await changed;
    if (this.#isClosed) throw new WorkerError('UPLOAD_TIMEOUT', 'The connection has closed');
    if (performance.now() < endMs) return;
    this.#onFailure();
    throw new WorkerError('UPLOAD_TIMEOUT', 'The peer does not read');
  }

  #wake(): void {
    this.#needsRoom = false;
    this.#waiting.wake();
  }
}
