import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import type { TestWorker } from './worker.js';

export const tus = { 'tus-resumable': '1.0.0' };
const part = { ...tus, 'content-type': 'application/offset+octet-stream' };

/** Requests of a tus client, without a socket. */
export class TusClient {
  readonly #worker: TestWorker;

  constructor(worker: TestWorker) {
    this.#worker = worker;
  }

  create(length: number, query: Record<string, string>, more: InjectOptions = {}): Promise<LightMyRequestResponse> {
    const headers = { ...tus, 'upload-length': String(length), ...more.headers };
    return this.#worker.inject({ method: 'POST', url: '/v1/uploads', query, ...more, headers });
  }

  send(url: string, offset: number, bytes: Buffer): Promise<LightMyRequestResponse> {
    const headers = { ...part, 'upload-offset': String(offset) };
    return this.#worker.inject({ method: 'PATCH', url, headers, payload: bytes });
  }

  head(url: string): Promise<LightMyRequestResponse> {
    return this.#worker.inject({ method: 'HEAD', url, headers: tus });
  }

  get(url: string): Promise<LightMyRequestResponse> {
    return this.#worker.inject({ method: 'GET', url });
  }

  end(url: string): Promise<LightMyRequestResponse> {
    return this.#worker.inject({ method: 'DELETE', url, headers: tus });
  }
}

/** The path of a created upload. */
export const uploadOf = (answer: LightMyRequestResponse): string => String(answer.headers.location);
