import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { token } from './worker.js';

/** The head of a request with the test's token. Omits undefined headers. */
export function head(target: string, headers: Record<string, string | number | undefined> = {}): string {
  const all = { Host: 'test', Authorization: `Bearer ${token}`, ...headers };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}\r\n`]));
  return `${target} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** A client that sends exact bytes and records all received text. */
export class RawClient {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  #heard = '';

  /** Uses TLS for an `https:` URL. `options` has the trusted certificates, the client's own, and its address. */
  constructor(url: string, options: ConnectionOptions & { readonly localAddress?: string } = {}) {
    const port = Number(new URL(url).port);
    const { localAddress, ...tls } = options;
    const to = { host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true };
    const from = localAddress === undefined ? {} : { localAddress };
    this.#socket = url.startsWith('https:') ? connectTls({ ...to, ...tls }) : connect({ ...to, ...from });
    this.#socket.once('end', () => this.#socket.end());
    this.#socket.setEncoding('latin1');
    this.#socket.on('data', (text: string) => {
      this.#heard += text;
    });
    this.#socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => this.#socket.once('close', () => resolve()));
  }

  get heard(): string {
    return this.#heard;
  }

  /** Whether the connection is closed. */
  get gone(): boolean {
    return this.#socket.closed;
  }

  /** Bytes handed to the kernel. */
  get sentBytes(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength;
  }

  send(data: string | Uint8Array): this {
    this.#socket.write(data);
    return this;
  }

  /** Sends a block repeatedly until `bytes` are sent or the connection is closed. */
  async flood(block: Uint8Array, bytes: number): Promise<void> {
    for (let sent = 0; sent < bytes && !this.#socket.destroyed; sent += block.length) {
      if (this.#socket.write(block)) continue;
      await Promise.race([new Promise((resolve) => this.#socket.once('drain', resolve)), this.closed]);
    }
  }

  /** Resolves with the received text when it matches. Rejects if the connection closes before. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.#heard)) {
      if (this.#socket.closed) throw new Error(`closed before ${pattern}: ${this.#heard}`);
      await Promise.race([new Promise((resolve) => this.#socket.once('data', resolve)), this.closed]);
    }
    return this.#heard;
  }

  /** Resolves with the received text when the connection is closed. */
  async whole(): Promise<string> {
    await this.closed;
    return this.#heard;
  }

  /** Closes this half of the connection after the last byte, and keeps receiving. */
  finish(): this {
    this.#socket.end();
    return this;
  }

  /** Stops reading, so that received data accumulates in the kernel. */
  deafen(): this {
    this.#socket.pause();
    return this;
  }

  /** Reads again. */
  resume(): this {
    this.#socket.resume();
    return this;
  }

  leave(): Promise<void> {
    this.#socket.destroy();
    return this.closed;
  }

  /** Resets the connection. Sent data may be lost. */
  reset(): Promise<void> {
    this.#socket.resetAndDestroy();
    return this.closed;
  }
}

/** The JSON body of the last answer in received text. */
export function lastBody(heard: string): { code?: string; status?: number } {
  const body = heard.slice(heard.lastIndexOf('\r\n\r\n') + 4);
  return JSON.parse(body);
}
