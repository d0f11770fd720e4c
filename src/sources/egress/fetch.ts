import { AbortScope } from './abort_scope.js';
import { connect } from './connect.js';
import type { ConnectionLimit } from './connection_limit.js';
import type { EgressEnvironment } from './environment.js';
import { type Exchange, exchange } from './exchange.js';
import { invalid, SourceFault, timedOut } from './fault.js';
import type { EgressPolicy } from './policy.js';
import type { SourceRequest, UnsignedRequest } from './request.js';
import { resolveChecked } from './resolve.js';
import { parseUrl } from './url_rules.js';

const maxRedirects = 5;
const redirectStatuses = new Set([301, 302, 303, 307, 308]);

/** From the look-up to the head of the response, for each hop. */
const headTimeoutMs = 30_000;

/** The parts of one source that its requests need. */
export interface FetchContext {
  readonly policy: EgressPolicy;
  readonly environment: EgressEnvironment;
  readonly connections: ConnectionLimit;
}

/** A response whose status is not a redirect. */
export interface Response extends Exchange {
  /** Whether another origin than that of the request answered. */
  readonly isRedirected: boolean;
}

/**
 * Makes one attempt of a request and follows its redirects by hand. The policy checks each hop before its look-up. The
 * caller must close the response.
 * @throws SourceFault, WorkerError of `onHop`, or the reason of the signal
 */
export async function fetchOnce(context: FetchContext, request: SourceRequest, signal: AbortSignal): Promise<Response> {
  const { policy } = context;
  if (request.role === 'realm') policy.requireRealm(request.url);
  else policy.requireFirst(request.url);
  const release = await context.connections.acquire(signal);
  try {
    const response = await follow(context, request, signal);
    response.connection.once('close', release);
    if (response.connection.closed) release();
    return response;
  } catch (error) {
    release();
    throw error;
  }
}

async function follow(context: FetchContext, request: SourceRequest, signal: AbortSignal): Promise<Response> {
  let { url } = request;
  for (let redirects = 0; ; redirects += 1) {
    const hop = await hopTo(url, context, request, signal);
    const isRedirected = hop.url.origin !== request.url.origin;
    try {
      request.onHop?.(hop);
      if (!redirectStatuses.has(hop.head.status)) return { ...hop, isRedirected };
      url = nextUrl(hop, request, redirects);
      context.policy.requireRedirect(hop.url, url);
    } catch (error) {
      hop.close();
      throw error;
    }
    hop.close();
  }
}

/** @throws SOURCE_INVALID */
function nextUrl({ url, head }: Exchange, request: SourceRequest, redirects: number): URL {
  const { role, method = 'GET', onRedirect } = request;
  if (role === 'realm' || method === 'POST') throw invalid('The source redirected a request for a token');
  if (redirects >= maxRedirects) throw invalid(`The source redirected more than ${maxRedirects} times`);
  const location = head.get('location');
  if (location === undefined) throw invalid('The source redirected without a Location');
  const to = parseUrl(location, 'SOURCE_INVALID', url);
  return onRedirect?.(to) ?? to;
}

async function hopTo(
  url: URL,
  { policy, environment }: FetchContext,
  request: SourceRequest,
  outer: AbortSignal,
): Promise<Exchange> {
  const { clock, lookup } = environment;
  const scope = new AbortScope(outer);
  scope.abortAfter(clock, headTimeoutMs, () => timedOut('The source did not send a response head in time'));
  const { signal } = scope;
  try {
    const unsigned: UnsignedRequest = {
      method: request.method ?? 'GET',
      url,
      headers: request.headers ?? {},
      content: request.content,
    };
    const headers = { ...unsigned.headers, ...(await credentialHeaders(unsigned, request, signal)) };
    const addresses = await resolveChecked(url, policy, { lookup, signal });
    const connection = await connect(url, addresses, { clock, signal, ca: policy.rules.ca });
    return await exchange({ ...unsigned, headers }, connection, signal);
  } catch (error) {
    outer.throwIfAborted();
    throw error;
  } finally {
    scope.dispose();
  }
}

/** Only the origin of a credential gets it. */
async function credentialHeaders(
  unsigned: UnsignedRequest,
  { credential }: SourceRequest,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  if (credential === undefined || credential.origin !== unsigned.url.origin) return {};
  const headers = await credential.headersFor(unsigned, signal);
  const isSafe = Object.values(headers).every((value) => /^[\u0020-\u007e]*$/.test(value));
  if (isSafe) return headers;
  throw new SourceFault(
    'SOURCE_AUTH_FAILED',
    'The credentials of the source have characters that a header cannot hold',
  );
}
