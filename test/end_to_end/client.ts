import type { TestWorker } from '../support/worker.js';

/** One answer of the worker: its status and its JSON, or an empty object. */
export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: the test states the shape that it expects
  readonly body: any;
}

/** A client of the worker over TCP. */
export class Client {
  readonly #url: string;
  readonly #authorization: string;

  constructor({ url, token }: TestWorker) {
    this.#url = url;
    this.#authorization = `Bearer ${token}`;
  }

  get(path: string): Promise<Answer> {
    return this.#send('GET', path);
  }

  post(path: string, body?: object): Promise<Answer> {
    if (body === undefined) return this.#send('POST', path);
    return this.#send('POST', path, JSON.stringify(body), { 'content-type': 'application/json' });
  }

  /** Uploads a shard. `query` describes it. */
  upload(query: Record<string, string>, bytes: Uint8Array<ArrayBuffer>): Promise<Answer> {
    return this.#send('PUT', `/v1/commit?${new URLSearchParams(query)}`, bytes);
  }

  delete(path: string): Promise<Answer> {
    return this.#send('DELETE', path);
  }

  async #send(
    method: string,
    path: string,
    body?: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const response = await fetch(this.#url + path, {
      method,
      headers: { authorization: this.#authorization, ...headers },
      ...(body === undefined ? {} : { body }),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? {} : JSON.parse(text) };
  }
}
