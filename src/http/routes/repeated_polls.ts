import { hash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { bearerTokenOf } from '../plugins/auth.js';
import { logsEveryRequest, newRequestId } from '../plugins/logging.js';
import { digestOfToken, type Tokens } from '../plugins/tokens.js';
import { isLong } from './buffer_stream.js';
import type { PollQuery } from './ready_cache.js';
import { matches, type ReadyResponse } from './ready_response.js';

/** Heads that are remembered at one time. */
const maxHeads = 2048;

/** A head with more header fields or characters is not remembered. */
const maxHeaders = 32;
const maxCharacters = 4096;

/** Requests with these headers take the usual path: a body, or a response with other headers. */
const unrepeatable = ['content-length', 'transfer-encoding', 'expect', 'upgrade', 'x-correlation-id'];

/** The headers of a response that are different each time, or that depend on the body. */
const variable = new Set(['x-request-id', 'x-correlation-id', 'etag', 'cache-control', 'content-type', 'connection']);

/** A poll that passed every check. */
interface Poll {
  readonly tokens: number;
  readonly owner: string;
  readonly ifNoneMatch: string | undefined;
  /** The headers of every response to it, each name followed by its value. */
  readonly headers: readonly string[];
  readonly query: PollQuery;
  /** The status and the headers of the latest response. Its body is not kept. */
  prepared: { readonly etag: string; readonly status: 200 | 304; readonly headers: readonly string[] } | undefined;
}

export interface RepeatedPollsOptions {
  readonly tokens: Pick<Tokens, 'version' | 'roleOf'>;
  /** The response to a query, if it is ready to be sent. */
  readonly current: (query: PollQuery) => ReadyResponse | undefined;
}

/**
 * Answers repeated polls without Fastify. A poll whose head is, byte for byte, that of an earlier one passes the same
 * checks, until the tokens change. So it gets the prepared response, with the headers that the plugins gave to the earlier
 * one. Any other request, and any response that is not ready, takes the usual path. Heads are kept as SHA-256 digests,
 * because they have tokens.
 */
export class RepeatedPolls {
  readonly #options: RepeatedPollsOptions;
  readonly #polls = new Map<string, Poll>();
  #app: FastifyInstance | undefined;

  constructor(options: RepeatedPollsOptions) {
    this.#options = options;
  }

  /** Answers from now on, unless each request must have a log line. `app` must have its plugins. */
  start(app: FastifyInstance): void {
    if (!logsEveryRequest(app.log)) this.#app = app;
  }

  /** Remembers a poll of a client whose token is still valid. Keeps neither the request nor its connection. */
  remember(request: FastifyRequest, reply: FastifyReply, query: PollQuery): void {
    const { raw, tokenFingerprint } = request;
    const key = keyOf(raw);
    if (key === undefined || unrepeatable.some((name) => name in raw.headers)) return;
    // The tokens may have been replaced since the request came in.
    const { tokens } = this.#options;
    const token = bearerTokenOf(request);
    if (token === undefined || tokens.roleOf(digestOfToken(token)) === undefined) return;
    const [oldest] = this.#polls.size < maxHeads ? [] : this.#polls.keys();
    if (oldest !== undefined) this.#polls.delete(oldest);
    this.#polls.set(key, {
      tokens: tokens.version,
      owner: tokenFingerprint,
      ifNoneMatch: raw.headers['if-none-match'],
      headers: Object.entries(reply.getHeaders()).flatMap(([name, value]) =>
        variable.has(name) ? [] : [name, String(value)],
      ),
      query,
      prepared: undefined,
    });
  }

  /** Answers a request if it is a repeated poll. Otherwise does nothing, and returns false. */
  answer(request: IncomingMessage, response: ServerResponse): boolean {
    const app = this.#app;
    if (app === undefined || this.#polls.size === 0 || !app.server.listening) return false;
    const startedMs = performance.now();
    const key = keyOf(request);
    const poll = key === undefined ? undefined : this.#polls.get(key);
    const { tokens, current: currentOf } = this.#options;
    const current = poll?.tokens === tokens.version ? currentOf(poll.query) : undefined;
    // A probe place has set a header that closes the connection.
    if (poll === undefined || current?.status !== 200 || response.hasHeader('connection')) return false;
    const { status, headers } = prepare(poll, current);
    const { body } = current;
    if (status === 200) {
      const isEncrypted = 'encrypted' in request.socket;
      if (isLong(body.length) || isEncrypted) return false;
      const { owner } = poll;
      if (!app.holdUnread({ owner, bytes: body.length, buffer: body, response })) return false;
    }
    const id = newRequestId();
    const labels = { method: 'GET', route: '/v1/ready', status };
    response.once('close', () => app.observeRequest(labels, performance.now() - startedMs));
    response.writeHead(status, [...headers, 'x-request-id', id, 'x-correlation-id', id]);
    response.end(status === 200 ? body : undefined);
    return true;
  }
}

/** A digest of the request line and the header fields. Neither can contain a line feed. */
function keyOf({ method, url = '', httpVersion, rawHeaders }: IncomingMessage): string | undefined {
  if (method !== 'GET' || httpVersion !== '1.1' || !url.startsWith('/v1/ready')) return undefined;
  if (rawHeaders.length > 2 * maxHeaders) return undefined;
  const head = `${url}\n${rawHeaders.join('\n')}`;
  return head.length > maxCharacters ? undefined : hash('sha256', head, 'base64');
}

function prepare(poll: Poll, response: ReadyResponse): NonNullable<Poll['prepared']> {
  if (poll.prepared?.etag === response.etag) return poll.prepared;
  const status = matches(poll.ifNoneMatch, response.etag) ? 304 : 200;
  const headers = [...poll.headers, 'etag', response.etag, 'cache-control', 'no-cache'];
  if (status === 200) {
    headers.push('content-type', 'application/json; charset=utf-8', 'content-length', String(response.body.length));
  }
  poll.prepared = { etag: response.etag, status, headers };
  return poll.prepared;
}
