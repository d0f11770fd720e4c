import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { token } from '../../support/worker.js';

export interface Heard {
  readonly status: number;
  readonly body: string;
}

/** An upload that waits for `100 Continue`. The test then sends its body in parts. */
export class OpenUpload {
  /** The worker's answer. The status is 0 if the connection closed without one. */
  readonly heard: Promise<Heard>;
  readonly #admitted: Promise<boolean>;
  readonly #request: ClientRequest;

  constructor(url: string, query: Readonly<Record<string, string>>, bytes: number, authorization = `Bearer ${token}`) {
    this.#request = request(`${url}/v1/commit?${new URLSearchParams(query)}`, {
      method: 'PUT',
      agent: false,
      headers: { authorization, expect: '100-continue', 'content-length': bytes },
    });
    this.heard = new Promise((resolve) => {
      this.#request.once('error', () => resolve({ status: 0, body: '' }));
      this.#request.once('response', (answer) => void read(answer).then(resolve));
    });
    this.#admitted = Promise.race([
      new Promise<boolean>((resolve) => this.#request.once('continue', () => resolve(true))),
      this.heard.then(() => false),
    ]);
    this.#request.flushHeaders();
  }

  /** Whether the worker requested the body. If not, it has answered. */
  admitted(): Promise<boolean> {
    return this.#admitted;
  }

  send(bytes: Uint8Array): void {
    this.#request.write(bytes);
  }

  finish(bytes: Uint8Array): Promise<Heard> {
    this.#request.end(bytes);
    return this.heard;
  }

  /** Resets the connection. */
  leave(): void {
    this.#request.destroy();
  }
}

async function read(answer: IncomingMessage): Promise<Heard> {
  let body = '';
  try {
    for await (const chunk of answer) body += chunk;
  } catch {
    return { status: 0, body };
  }
  return { status: answer.statusCode ?? 0, body };
}
