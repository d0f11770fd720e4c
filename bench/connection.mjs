import { once } from 'node:events';
import { connect } from 'node:net';

/** A connection that is silent for longer ends, so that no exchange waits for ever. */
const silentMs = 120_000;
const headEnd = '\r\n\r\n';

/** @typedef {{ status: number, head: string, bytes: number, body: () => Buffer }} Answer */

/**
 * A minimal keep-alive HTTP/1.1 client, so that the server's cost dominates. It sends one request at a time, and supports
 * only responses with a Content-Length or without a body.
 */
export class Connection {
  #socket;
  #answer = { head: '', wanted: 0, chunks: [], bytes: 0 };
  #settle = { resolve: undefined, reject: undefined };

  /** @param {string} url @returns {Promise<Connection>} */
  static async open(url) {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    socket.setTimeout(silentMs, () => socket.destroy(new Error(`no byte from ${url} within ${silentMs} ms`)));
    await once(socket, 'connect');
    return new Connection(socket);
  }

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#take(chunk));
    for (const event of ['error', 'close']) {
      socket.on(event, (error) =>
        this.#settle.reject?.(error instanceof Error ? error : new Error('connection closed')),
      );
    }
  }

  /** @param {string | Buffer} request head and body @returns {Promise<Answer>} */
  exchange(request) {
    if (this.#socket.destroyed) return Promise.reject(new Error('connection closed'));
    this.#answer = { head: '', wanted: 0, chunks: [], bytes: 0 };
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#socket.write(request);
    });
  }

  close() {
    this.#settle = { resolve: undefined, reject: undefined };
    this.#socket.destroy();
  }

  #take(chunk) {
    const answer = this.#answer;
    answer.chunks.push(chunk);
    answer.bytes += chunk.length;
    if (answer.head === '') {
      const received = answer.chunks.length === 1 ? chunk : Buffer.concat(answer.chunks);
      const end = received.indexOf(headEnd);
      if (end < 0) return;
      answer.head = received.toString('latin1', 0, end);
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(answer.head)?.[1] ?? 0);
      answer.wanted = end + headEnd.length + length;
    }
    if (answer.bytes < answer.wanted) return;
    const { head, chunks, bytes } = answer;
    const body = () => Buffer.concat(chunks).subarray(head.length + headEnd.length);
    this.#settle.resolve?.({ status: Number(head.slice(9, 12)), head, bytes, body });
  }
}

/** The request line and headers, as text. @param {string} method @param {string} path @param {Record<string, string | number>} headers */
export function requestHead(method, path, headers = {}) {
  const lines = Object.entries({ host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}
