import { type ClientRequest, request as createRequest, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Connection } from './connect.js';
import { faultOf, invalid } from './fault.js';
import { ResponseHead } from './response_head.js';

const maxHeadBytes = 16 * 1024;

/** Interim responses (1xx) before the final one. */
const maxInterimResponses = 8;

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly content?: Uint8Array | undefined;
}

/** A response whose body is not read yet. Its connection serves no second request. */
export interface Exchange {
  /** The URL that answered, after redirects. */
  readonly url: URL;
  readonly head: ResponseHead;
  readonly body: IncomingMessage;
  readonly connection: Connection;
  /** Closes the connection. With an error, a reader of the body gets it. Idempotent. */
  close(error?: Error): void;
}

/** Headers of every request. `Connection: close` keeps one response from being read as part of another. */
const standardHeaders = {
  'User-Agent': 'vram-residency',
  Accept: '*/*',
  'Accept-Encoding': 'identity',
  Connection: 'close',
};

/**
 * Sends a request over a connection and waits for the head of the response. On failure it is destroyed.
 * @throws SourceFault, or the reason of the signal
 */
export async function exchange(request: HttpRequest, connection: Connection, signal: AbortSignal): Promise<Exchange> {
  try {
    const body = await headOf(request, connection, signal);
    const head = new ResponseHead(body.statusCode ?? 0, body.rawHeaders);
    const close = (error?: Error): void => {
      body.destroy(error);
      connection.destroy();
    };
    return { url: request.url, head, body, connection, close };
  } catch (error) {
    connection.destroy();
    signal.throwIfAborted();
    throw faultOf(error);
  }
}

function headOf(request: HttpRequest, connection: Connection, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = clientRequest(request, connection);
    let interim = 0;
    const fail = (error: unknown): void => {
      end();
      reject(error);
      sent.destroy();
    };
    const onAbort = (): void => fail(signal.reason);
    const end = (): void => {
      signal.removeEventListener('abort', onAbort);
      sent.off('information', onInformation).off('upgrade', onUpgrade);
    };
    const onInformation = (): void => {
      interim += 1;
      if (interim > maxInterimResponses) fail(invalid('The source sent too many interim responses'));
    };
    const onUpgrade = (_response: IncomingMessage, upgraded: Duplex): void => {
      upgraded.destroy();
      fail(invalid('The source switched to another protocol'));
    };
    // Stays until the connection closes: an error without a listener would end the process.
    let onError = fail;
    sent.on('error', (error) => onError(error));
    sent.on('information', onInformation).on('upgrade', onUpgrade);
    sent.once('response', (response) => {
      end();
      onError = (error) => failBody(response, error);
      response.on('error', () => undefined);
      resolve(response);
    });
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) return onAbort();
    sent.end(request.content);
  });
}

/** A request that is not sent yet. */
function clientRequest({ method, url, headers, content }: HttpRequest, connection: Connection): ClientRequest {
  return createRequest({
    // The connection exists already, so no agent opens, keeps or proxies one.
    createConnection: () => connection,
    method,
    path: `${url.pathname}${url.search}`,
    headers: { Host: url.host, ...standardHeaders, ...headers, ...lengthOf(content) },
    setHost: false,
    maxHeaderSize: maxHeadBytes,
    insecureHTTPParser: false,
  });
}

/**
 * Gives an error to the reader of a body. The response is destroyed, because a destroyed request would drop bytes that wait in
 * the response, and the reader would miss a gap.
 */
const failBody = (response: IncomingMessage, error: unknown): void =>
  void response.destroy(error instanceof Error ? error : undefined);

const lengthOf = (content: Uint8Array | undefined): Record<string, string> =>
  content === undefined ? {} : { 'Content-Length': String(content.length) };
