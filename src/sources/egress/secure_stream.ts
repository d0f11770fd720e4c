import type { OnReadOpts } from 'node:net';
import { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { Diversion, type Take } from './diversion.js';

/** The plain text of a record has at most this many bytes (RFC 8446 §5.1). Node delivers one record at a time. */
const recordBytes = 16 * 1024;

/**
 * A TLS connection that Node decrypts into one buffer (`onread` of `node:net`), without an allocation and a stream event
 * for each record. `node:http` reads the head of a response from it. The body can be diverted past `node:http`.
 */
export class SecureStream extends Duplex {
  /** For the events of the handshake. Its streaming functionality has no data. */
  readonly socket: TLSSocket;
  #buffer = Buffer.allocUnsafeSlow(recordBytes);
  #diversion: Diversion | undefined;
  #hasEnded = false;

  constructor(open: (onread: OnReadOpts) => TLSSocket) {
    super();
    // An error without a listener would end the process.
    this.on('error', () => undefined);
    // Node asks for the buffer of the next record after each one.
    const callback = (bytes: number, buffer: Uint8Array) => this.#onRecord(Buffer.from(buffer.buffer, 0, bytes));
    this.socket = open({ buffer: () => this.#buffer, callback });
    this.socket.on('end', () => this.#onEnd()).on('error', (error) => this.destroy(error));
    this.socket.on('close', () => this.#onClose());
  }

  /**
   * Gives all later bytes to `take`, past the readers of the stream. Resolves when `take` is done or the connection ended.
   * Undefined if a reader must take earlier bytes first.
   */
  divert(take: Take): Promise<void> | undefined {
    if (this.readableLength > 0 || this.#hasEnded || this.destroyed || this.#diversion !== undefined) return undefined;
    this.#diversion = new Diversion(take, {
      resume: () => this.socket.resume(),
      keepChunk: () => {
        this.#buffer = Buffer.allocUnsafeSlow(recordBytes);
      },
    });
    this.socket.resume();
    return this.#diversion.ended;
  }

  override _read(): void {
    if (this.#diversion === undefined) this.socket.resume();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#diversion?.end(error);
    if (this.socket.closed) {
      done(error);
      return;
    }
    this.socket.once('close', () => done(error));
    this.socket.destroy();
  }

  /** Returns whether Node may deliver the next record. It delivers those that it already has in any case. */
  #onRecord(chunk: Buffer): boolean {
    return this.#diversion === undefined ? this.push(Buffer.from(chunk)) : this.#diversion.offer(chunk);
  }

  /** After the end, a reader may still have bytes to read. */
  #onClose(): void {
    if (!this.#hasEnded) this.destroy();
  }

  #onEnd(): void {
    this.#hasEnded = true;
    if (this.#diversion === undefined) this.push(null);
    else this.#diversion.end(null);
  }
}
