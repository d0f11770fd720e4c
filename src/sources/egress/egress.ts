import type { WorkerError } from '../../errors.js';
import type { Clock } from './clock.js';
import { ConnectionLimit } from './connection_limit.js';
import type { EgressEnvironment } from './environment.js';
import { invalid, SourceFault } from './fault.js';
import { type FetchContext, fetchOnce, type Response } from './fetch.js';
import { nextPageOf } from './next_page.js';
import type { EgressPolicy } from './policy.js';
import type { SourceRequest, TransferOptions } from './request.js';
import type { ResponseHead } from './response_head.js';
import { retrying } from './retrying.js';
import { readSmallBody } from './small_body.js';
import { statusFault } from './status_fault.js';
import { parseUniqueJson } from './unique_json.js';
import { parseUrl } from './url_rules.js';

const maxErrorBytes = 64 * 1024;

/** A document that fits in memory, and the head and URL of the response. */
export interface Document<T> {
  readonly value: T;
  readonly head: ResponseHead;
  readonly url: URL;
}

/** The requests of one configured source. Every outgoing connection of a worker goes through one of these. */
export class Egress implements FetchContext {
  readonly policy: EgressPolicy;
  readonly environment: EgressEnvironment;
  readonly connections: ConnectionLimit;

  constructor(
    policy: EgressPolicy,
    environment: EgressEnvironment,
    connections = new ConnectionLimit(environment.maxConnections),
  ) {
    this.policy = policy;
    this.environment = environment;
    this.connections = connections;
  }

  /** The same source and the same limit of connections, but one prefix, such as a bucket. @throws SOURCE_FORBIDDEN */
  narrow(prefix: URL): Egress {
    return new Egress(this.policy.narrow(prefix), this.environment, this.connections);
  }

  /**
   * Makes one attempt. Returns a response of any status but a redirect, which the caller must close.
   * @throws SourceFault, or the reason of the signal
   */
  fetch(request: SourceRequest, signal: AbortSignal): Promise<Response> {
    return fetchOnce(this, request, signal);
  }

  /** The head of a successful response, with retries. Its body is not read. @throws WorkerError */
  head(request: SourceRequest, options: TransferOptions): Promise<Document<undefined>> {
    return retrying(this.environment, options, async ({ signal }) => {
      const { head, url, close } = await this.fetchOk(request, signal);
      close();
      return { value: undefined, head, url };
    });
  }

  /** The bytes of a successful response of at most `maxBytes`, with retries. @throws WorkerError */
  bytes(request: SourceRequest, maxBytes: number, options: TransferOptions): Promise<Document<Buffer>> {
    const { clock } = this.environment;
    return retrying(this.environment, options, async ({ signal }) => {
      const response = await this.fetchOk(request, signal);
      if (response.head.status !== 200) {
        response.close();
        throw invalid('The source sent part of a document');
      }
      const value = await readSmallBody(response, { maxBytes, clock, signal });
      return { value, head: response.head, url: response.url };
    });
  }

  /** The JSON of a successful response, as `parseUniqueJson` accepts it. @throws WorkerError */
  async json(request: SourceRequest, maxBytes: number, options: TransferOptions): Promise<Document<unknown>> {
    const { value: bytes, ...rest } = await this.bytes(request, maxBytes, options);
    const value = parseUniqueJson(bytes);
    if (value === undefined) throw invalid('The source sent invalid JSON, or JSON with duplicate or too many keys');
    return { ...rest, value };
  }

  /** The URL of a token server that a response names, before a request with credentials. @throws SourceFault */
  realm(text: string): URL {
    const url = parseUrl(text, 'SOURCE_INVALID');
    this.policy.requireRealm(url);
    return url;
  }

  /** The URL of the next page of a list; undefined on the last page. @throws SourceFault */
  nextPage({ head, url }: Pick<Response, 'head' | 'url'>, rewrite?: (link: URL) => URL): URL | undefined {
    return nextPageOf(head, url, this.policy, rewrite);
  }

  /**
   * Makes one attempt, and throws unless the status is 200 or 206. After a 401, the next attempt renews the credentials.
   * @throws WorkerError, or the reason of the signal
   */
  async fetchOk(request: SourceRequest, signal: AbortSignal): Promise<Response> {
    const response = await this.fetch(request, signal);
    const { status } = response.head;
    if (status === 200 || status === 206) return response;
    const body = await errorBody(request, response, { clock: this.environment.clock, signal });
    const fault =
      request.explain?.(response) ??
      (body === undefined ? undefined : await request.explainBody?.(response.head, body)) ??
      this.statusFault(response);
    if (fault instanceof SourceFault && fault.rule === 'once') throw renewable(fault, request, response);
    throw fault;
  }

  statusFault({ head, isRedirected }: Response): WorkerError {
    return statusFault(head, { clock: this.environment.clock, isRedirected });
  }
}

/** The body of an error, if the request asks for it and its own origin sent it. Closes the response. */
async function errorBody(
  { explainBody }: SourceRequest,
  response: Response,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Buffer | undefined> {
  try {
    if (explainBody === undefined || response.isRedirected) return undefined;
    return await readSmallBody(response, { maxBytes: maxErrorBytes, clock, signal });
  } catch {
    // The status alone decides if its explanation cannot be read.
    signal.throwIfAborted();
    return undefined;
  } finally {
    response.close();
  }
}

/** The fault of a 401. Without credentials that can be renewed, another attempt would fail again. */
function renewable(
  { code, message }: SourceFault,
  { credential }: SourceRequest,
  { head, url }: Response,
): SourceFault {
  const renew = credential?.origin === url.origin ? credential.renew?.bind(credential) : undefined;
  if (renew === undefined) return new SourceFault(code, message);
  return new SourceFault(code, message, { rule: 'once', prepare: (signal) => renew(head, signal) });
}
