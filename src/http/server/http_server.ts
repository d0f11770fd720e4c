import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import type { Socket } from 'node:net';
import { WorkerError } from '../../errors.js';
import { problemHeaders, problemOf } from '../errors/problem.js';
import { invalidParams } from '../errors/to_worker_error.js';
import { ConnectionLimit, maxConnectionsFromLimits } from './connection_limit.js';
import { isFailedHandshake } from './handshake.js';
import { isTaken } from './lingering_close.js';

/** Makes a server of Node's: a plain one, or one that speaks TLS. */
export type CreateServer = (options: ServerOptions, handler: RequestListener) => Server;

export interface HttpServerOptions {
  /** How long the head of a request may take. */
  readonly headersTimeoutMs: number;
  /** How long a client may leave an answer unread. */
  readonly unreadTimeoutMs: number;
  /** Open at one time; fewer where the limit of open files is lower. */
  readonly maxConnections: number;
  /** Makes the server; plain HTTP where it is not given. */
  readonly create: CreateServer;
}

const defaults: HttpServerOptions = {
  headersTimeoutMs: 15_000,
  unreadTimeoutMs: 60_000,
  maxConnections: 4096,
  create: createServer,
};

const awaitingContinue = new WeakSet<IncomingMessage>();
/** The last answer that a connection owes, or owed. */
const answering = new WeakMap<Socket, ServerResponse>();
const answered = new WeakSet<ServerResponse>();

/**
 * Node's HTTP server under our rules. An upload may take as long as it moves, so that `requestTimeout` is off and
 * bodies are watched where they are read. Requests that wait for `100 Continue`, or expect something else, are routed
 * like all others. Requests of one connection are carried out one after the other, and none behind an answer that closes
 * it (RFC 9112 §9.3.2, §9.6). A client that has said all it has to say may close its half of the connection and still be answered.
 */
export function createHttpServer(handler: RequestListener, options: Partial<HttpServerOptions> = {}): Server {
  const { headersTimeoutMs, unreadTimeoutMs, maxConnections, create } = { ...defaults, ...options };
  const route: RequestListener = (request, response) => {
    const { socket } = request;
    const earlier = answering.get(socket);
    answering.set(socket, response);
    connections.busy(socket);
    response.once('close', () => {
      answered.add(response);
      if (answering.get(socket) === response) connections.idle(socket);
    });
    if (earlier === undefined || answered.has(earlier)) handler(request, response);
    else earlier.once('close', () => socket.writable && handler(request, response));
  };
  const server = create(
    {
      headersTimeout: headersTimeoutMs,
      requestTimeout: 0,
      connectionsCheckingInterval: headersTimeoutMs / 4,
      // Asked for where all else of a request's head is, so that its lack is answered as all else is.
      requireHostHeader: false,
    },
    route,
  );
  const connections = new ConnectionLimit(server, Math.min(maxConnections, maxConnectionsFromLimits()));
  server.keepAliveTimeout = 30_000;
  // Node would pass over headers beyond the 2000th in silence; how large a head may be bounds them too.
  server.maxHeadersCount = 0;
  // Node's own switch, which its documentation leaves out: with it an end of the client's half is no end of the request.
  Object.assign(server, { httpAllowHalfOpen: true });
  server.setTimeout(unreadTimeoutMs, (socket: Socket) => {
    if (!isAnswering(socket) || socket.writableLength > 0) socket.destroy();
  });
  server.on('checkContinue', (request, response) => {
    awaitingContinue.add(request);
    route(request, response);
  });
  server.on('checkExpectation', route);
  return server;
}

/** Whether the client sends its body only once it is told to, and was not yet. */
export const awaitsContinue = (request: IncomingMessage): boolean => awaitingContinue.has(request);

/** Tells a client that waits for it to send its body; once, and only where it waits. */
export function sendContinue(request: IncomingMessage, response: ServerResponse): void {
  if (awaitingContinue.delete(request)) response.writeContinue();
}

/**
 * Answers what Node could not read as a request, and ends the connection. What came before it on the same connection is
 * answered first; where it is the rest of a request whose answer is under way, the connection ends at once.
 */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  const response = answering.get(socket);
  const isRest = response !== undefined && !response.req.complete && !isTaken(response.req);
  const isGone = error.code === 'ECONNRESET' || !socket.writable || isFailedHandshake(socket);
  if (isGone || (isRest && response.headersSent)) socket.destroy();
  else if (isRest || !isAnswering(socket)) refuse(error, socket);
  else response?.once('finish', () => refuse(error, socket));
}

const isAnswering = (socket: Socket): boolean => answering.get(socket)?.writableFinished === false;

function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable) return void socket.destroy();
  const problem = problemOf(clientRefusal(error.code));
  const body = JSON.stringify(problem);
  const headers = {
    ...problemHeaders(problem),
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const phrase = problem.status === 408 ? 'Request Timeout' : 'Bad Request';
  socket.end(`HTTP/1.1 ${problem.status} ${phrase}\r\n${head.join('')}\r\n${body}`, () => socket.destroy());
}

function clientRefusal(code: string | undefined): WorkerError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new WorkerError('UPLOAD_TIMEOUT', 'The head of the request took too long');
  if (code === 'HPE_HEADER_OVERFLOW') return invalidParams('The head of the request is too large');
  return invalidParams('This is not an HTTP request that can be read');
}
