import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import type { Socket } from 'node:net';
import { AcceptQueue } from './accept_queue.js';
import { answerClientError } from './client_error.js';
import { Connections } from './connections.js';
import { allowHalfOpen, pauseNewConnections } from './node_internals.js';
import { connectionOf, requestState } from './request_state.js';

/** Creates a Node server, with or without TLS. */
export type CreateServer = (options: ServerOptions, handler: RequestListener) => Server;

export interface HttpServerOptions {
  /** Time limit for the head of a request. */
  readonly headersTimeoutMs: number;
  /** Time for which an idle connection stays open. */
  readonly keepaliveMs: number;
  /** Time limit for a connection without a request. */
  readonly silentTimeoutMs: number;
  /** The table of its connections. */
  readonly connections: Connections;
  /** Creates the server; plain HTTP by default. */
  readonly create: CreateServer;
}

/** Open connections at one time. */
export const maxConnections = 4096;

/** Header fields of a request. A field of a few bytes takes about 100 bytes of memory while the request waits. */
const maxHeaderFields = 200;

const defaults = {
  headersTimeoutMs: 15_000,
  keepaliveMs: 75_000,
  silentTimeoutMs: 60_000,
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
  const { headersTimeoutMs, keepaliveMs, silentTimeoutMs, create } = { ...defaults, ...options };
  const connections = options.connections ?? new Connections({ maxConnections });
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
  takeTurns(server);
  connections.attach(server);
  server.keepAliveTimeout = keepaliveMs;
  // Node drops the fields beyond this number. The worker then refuses the request.
  server.maxHeadersCount = maxHeaderFields;
  allowHalfOpen(server);
  server.setTimeout(silentTimeoutMs, (socket: Socket) => {
    if (!connectionOf(socket).isAnswering) socket.destroy();
  });
  server.on('checkContinue', (request, response) => {
    requestState(request).awaitsContinue = true;
    listener(request, response);
  });
  server.on('checkExpectation', listener);
  return server;
}

/** Delays Node's own listener, which starts the TLS handshake or reads the first request. */
function takeTurns(server: Server): void {
  const listeners = server.listeners('connection');
  server.removeAllListeners('connection');
  pauseNewConnections(server);
  const queue = new AcceptQueue((socket) => {
    for (const listener of listeners) listener.call(server, socket);
    connectionOf(socket).start();
    socket.resume();
  });
  server.on('connection', (socket: Socket) => {
    // Without a listener, an error of a connection that waits would end the process.
    socket.on('error', () => undefined);
    queue.add(socket);
  });
}

/** Runs the requests of one connection one after the other. */
function inOrder(
  handler: RequestListener,
  connections: Connections,
  request: IncomingMessage,
  response: ServerResponse & { req: IncomingMessage },
): void {
  // Takes the moment of arrival, before the request waits for earlier ones.
  requestState(request);
  const connection = connectionOf(request.socket);
  if (request.rawHeaders.length > 2 * maxHeaderFields) {
    answerClientError(Object.assign(new Error(), { code: 'HPE_HEADER_OVERFLOW' }), request.socket);
    return;
  }
  if (!connections.allows(connection, request)) return;
  if (connections.isProbe(connection)) response.setHeader('connection', 'close');
  connection.accept(request, response, handler);
}

/** Sends `100 Continue` once, to a client that waits for it. */
export function sendContinue(request: IncomingMessage, response: ServerResponse): void {
  const state = requestState(request);
  if (!state.awaitsContinue) return;
  state.awaitsContinue = false;
  response.writeContinue();
}
