import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { token } from './worker.js';

/** The head of a request with our token, as text. A header that is undefined is left out. */
export function head(target: string, headers: Record<string, string | number | undefined> = {}): string {
  const all = { Host: 'test', Authorization: `Bearer ${token}`, ...headers };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}\r\n`]));
  return `${target} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** A client that says exactly what it is told to, and keeps all that it hears. */
export class RawClient {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  #heard = '';

  /** Speaks TLS to an `https:` address: `tls` says whom it trusts, and who it is. */
  constructor(url: string, tls: ConnectionOptions = {}) {
    const to = { host: '127.0.0.1', port: Number(new URL(url).port), noDelay: true, allowHalfOpen: true };
    this.#socket = url.startsWith('https:') ? connectTls({ ...to, ...tls }) : connect(to);
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

  /** Whether the connection has ended, from either side. */
  get gone(): boolean {
    return this.#socket.closed;
  }

  /** Bytes that left this process. */
  get sentBytes(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength;
  }

  send(data: string | Uint8Array): this {
    this.#socket.write(data);
    return this;
  }

  /** Sends a block again and again until so many bytes are sent or the other side has closed. */
  async flood(block: Uint8Array, bytes: number): Promise<void> {
    for (let sent = 0; sent < bytes && !this.#socket.destroyed; sent += block.length) {
      if (this.#socket.write(block)) continue;
      await Promise.race([new Promise((resolve) => this.#socket.once('drain', resolve)), this.closed]);
    }
  }

  /** Resolves with all that was heard once it matches; rejects where the connection closes before. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.#heard)) {
      if (this.#socket.closed) throw new Error(`closed before ${pattern}: ${this.#heard}`);
      await Promise.race([new Promise((resolve) => this.#socket.once('data', resolve)), this.closed]);
    }
    return this.#heard;
  }

  /** All that was heard when the other side closed. */
  async whole(): Promise<string> {
    await this.closed;
    return this.#heard;
  }

  /** Closes our half of the connection once all is sent, and goes on listening. */
  finish(): this {
    this.#socket.end();
    return this;
  }

  /** Hears nothing from now on: what the other side says piles up. */
  deafen(): this {
    this.#socket.pause();
    return this;
  }

  /** Hears again. */
  resume(): this {
    this.#socket.resume();
    return this;
  }

  leave(): Promise<void> {
    this.#socket.destroy();
    return this.closed;
  }

  /** Leaves by a reset: what was sent may never arrive. */
  reset(): Promise<void> {
    this.#socket.resetAndDestroy();
    return this.closed;
  }
}

/** The JSON of the last answer in what was heard. */
export function lastBody(heard: string): { code?: string; status?: number } {
  const body = heard.slice(heard.lastIndexOf('\r\n\r\n') + 4);
  return JSON.parse(body);
}
