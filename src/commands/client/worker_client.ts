import http, { type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import https from 'node:https';
import { pipeline, type Readable } from 'node:stream';
import { BoundedBuffer } from '../../runtime/bounded_buffer.js';
import { InputError } from '../command.js';
import { PeerError, ProblemError, UnreachableError } from './client_error.js';
import { toPeerError } from './connection_error.js';
import type { TlsIdentity, Token } from './credentials.js';
import { type Problem, problemIn } from './problem.js';

export interface WorkerRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'DELETE';
  /** Relative to the worker's base URL, such as `v1/shards`; its segments are encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly headers?: OutgoingHttpHeaders;
  /** Sent as JSON. */
  readonly json?: object;
  /** It may fail with an `InputError`, which the request then has. */
  readonly body?: Readable;
  readonly signal?: AbortSignal;
  /** Statuses above 399 whose body is an answer, and not a problem. */
  readonly answers?: readonly number[];
  /** The request fails after this time without a byte in either direction. Default: 30 s. */
  readonly idleMs?: number;
}

/** A complete answer with a status below 400. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The parsed JSON; undefined without a body. */
  readonly body: unknown;
}

const defaultIdleMs = 30_000;
/** More than a page of 1000 shards, and than a pull of 4096 files. */
const maxBodyBytes = 16 * 1024 ** 2;

export interface Connection {
  readonly url: URL;
  readonly token: Token | undefined;
  readonly tls: TlsIdentity;
}

/** Problems have a media type of their own, and a proxy answers with neither. */
const isJson = ({ headers }: IncomingMessage): boolean =>
  headers['content-type']?.startsWith('application/json') ?? false;

/** A client of the worker's HTTP API. Each request has its own connection, and follows no redirect. */
export class WorkerClient {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The base URL, for messages. */
  get url(): string {
    return this.#connection.url.href.replace(/\/$/, '');
  }

  /** Sends a request, and reads its whole answer. @throws ProblemError, UnreachableError, PeerError */
  async ask(request: WorkerRequest): Promise<Answer> {
    const response = await this.open(request);
    return { status: response.statusCode ?? 0, headers: response.headers, body: await this.#bodyOf(response) };
  }

  /**
   * Sends a request. Resolves with the response, if its status is below 300, 304 or one of `answers`. The caller reads or destroys it.
   * @throws ProblemError, UnreachableError, PeerError, the reason of the signal, and the errors of the body
   */
  async open(request: WorkerRequest): Promise<IncomingMessage> {
    const response = await this.#send(request);
    const { statusCode: status = 0 } = response;
    if (status < 300 || status === 304) return response;
    if (request.answers?.includes(status) && isJson(response)) return response;
    if (status < 400) {
      response.destroy();
      throw new PeerError(`${this.url} answers with a redirect (${status}): set --url to the worker itself`);
    }
    // A response to HEAD has no body, so no problem.
    const problem = problemIn(await this.#bodyOf(response));
    throw this.#errorOf(status, problem);
  }

  #errorOf(status: number, problem: Problem | undefined): Error {
    if (problem !== undefined) return new ProblemError(problem, problem.status === 401 ? this.#tokenHint() : undefined);
    const message = `${this.url} answered with status ${status}, but not as a worker: check --url`;
    // A proxy in front of the worker.
    return status >= 502 && status <= 504 ? new UnreachableError(message) : new PeerError(message);
  }

  #tokenHint(): string {
    const { token } = this.#connection;
    if (token === undefined) return 'No token was sent: set --token-file or VRAM_WORKER_TOKEN_FILE.';
    return `The worker refused the token of ${token.from}: check --token-file.`;
  }

  #send({ method, path, query, json, body, signal, idleMs = defaultIdleMs, headers }: WorkerRequest) {
    const { url: base, token, tls } = this.#connection;
    const url = new URL(path, base);
    for (const [name, value] of Object.entries(query ?? {}))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const text = json === undefined ? undefined : JSON.stringify(json);
    const request = (url.protocol === 'https:' ? https : http).request(url, {
      method,
      agent: false,
      ...tls,
      headers: {
        accept: 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token.text}` }),
        ...(text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        ...headers,
      },
    });
    return new Promise<IncomingMessage>((resolve, reject) => {
      const abort = () => request.destroy(signal?.reason);
      signal?.addEventListener('abort', abort, { once: true });
      request.once('close', () => signal?.removeEventListener('abort', abort));
      request.setTimeout(idleMs, () => request.destroy(new UnreachableError(this.#silence(idleMs))));
      // A response may come before the whole body is sent; errors of the request then have no meaning.
      request.on('error', (error) => reject(signal?.aborted ? signal.reason : toPeerError(this.url, error)));
      request.once('response', (response) => {
        response.on('error', () => undefined);
        body?.destroy();
        resolve(response);
      });
      // Only this event has the cause: `pipeline` aborts the request without it.
      body?.once('error', (error) => error instanceof InputError && reject(error));
      if (signal?.aborted) return abort();
      if (body === undefined) request.end(text);
      else pipeline(body, request, () => undefined);
    });
  }

  async #bodyOf(response: IncomingMessage): Promise<unknown> {
    const body = new BoundedBuffer(maxBodyBytes);
    try {
      for await (const chunk of response) {
        if (!body.add(chunk)) throw new PeerError(`the answer of ${this.url} is larger than 16 MiB`);
      }
    } catch (error) {
      throw toPeerError(this.url, error);
    }
    if (body.length === 0) return undefined;
    try {
      return JSON.parse(body.bytes.toString());
    } catch {
      return undefined;
    }
  }

  #silence(idleMs: number): string {
    return `the worker at ${this.url} did not respond for ${idleMs / 1000} s: check whether it hangs, or set --url`;
  }
}
