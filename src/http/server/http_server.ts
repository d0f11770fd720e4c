import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import type { Socket } from 'node:net';
import { isAnswering } from './client_error.js';
import { ConnectionLimit, maxConnectionsFromLimits } from './connection_limit.js';
import { allowHalfOpen } from './node_internals.js';
import { connectionState, requestState } from './request_state.js';

/** Creates a Node server, with or without TLS. */
export type CreateServer = (options: ServerOptions, handler: RequestListener) => Server;

export interface HttpServerOptions {
  /** Time limit for the head of a request. */
  readonly headersTimeoutMs: number;
  /** Time for which an idle connection stays open. */
  readonly keepaliveMs: number;
  /** Time limit for a client that does not read its response. */
  readonly unreadTimeoutMs: number;
  /** Open connections at one time. The limit of open files can lower it. */
  readonly maxConnections: number;
  /** Creates the server; plain HTTP by default. */
  readonly create: CreateServer;
}

const defaults: HttpServerOptions = {
  headersTimeoutMs: 15_000,
  keepaliveMs: 75_000,
  unreadTimeoutMs: 60_000,
  maxConnections: 4096,
  create: createServer,
};

/**
 * Creates the worker's HTTP server.
 *
 * - Uploads have no time limit, so `requestTimeout` is off. Code that reads a body also limits its time.
 * - Requests with an `Expect` header take the same route as all others.
 * - A client may close its half of the connection and still read the response.
 */
export function createHttpServer(handler: RequestListener, options: Partial<HttpServerOptions> = {}): Server {
  const { headersTimeoutMs, keepaliveMs, unreadTimeoutMs, maxConnections, create } = { ...defaults, ...options };
  const listener: RequestListener = (request, response) => inOrder(handler, connections, request, response);
  const server = create(
    {
      headersTimeout: headersTimeoutMs,
      requestTimeout: 0,
      connectionsCheckingInterval: headersTimeoutMs / 4,
      // The body_parsing plugin checks it, in the order of all other checks.
      requireHostHeader: false,
    },
    listener,
  );
  const connections = new ConnectionLimit(server, Math.min(maxConnections, maxConnectionsFromLimits()));
  server.keepAliveTimeout = keepaliveMs;
  // Node drops headers beyond its limit of 2000. The size of the head limits them already.
  server.maxHeadersCount = 0;
  allowHalfOpen(server);
  server.setTimeout(unreadTimeoutMs, (socket: Socket) => {
    if (!isAnswering(socket) || socket.writableLength > 0) socket.destroy();
  });
  server.on('checkContinue', (request, response) => {
    requestState(request).awaitsContinue = true;
    listener(request, response);
  });
  server.on('checkExpectation', listener);
  return server;
}

/**
 * Runs the requests of one connection one after the other. It drops a request behind a response that closes the
 * connection (RFC 9112 §9.3.2, §9.6).
 */
function inOrder(
  handler: RequestListener,
  connections: ConnectionLimit,
  request: IncomingMessage,
  response: ServerResponse & { req: IncomingMessage },
): void {
  const { socket } = request;
  // Takes the moment of arrival, before the request waits for earlier ones.
  requestState(request);
  const connection = connectionState(socket);
  const previous = connection.latest;
  const latest = { response, isClosed: false };
  connection.latest = latest;
  connections.markBusy(socket);
  response.once('close', () => {
    latest.isClosed = true;
    if (connection.latest === latest) connections.markIdle(socket);
  });
  if (previous === undefined || previous.isClosed) handler(request, response);
  else previous.response.once('close', () => socket.writable && handler(request, response));
}

/** Sends `100 Continue` once, to a client that waits for it. */
export function sendContinue(request: IncomingMessage, response: ServerResponse): void {
  const state = requestState(request);
  if (!state.awaitsContinue) return;
  state.awaitsContinue = false;
  response.writeContinue();
}
