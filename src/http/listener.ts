import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import type { Socket } from 'node:net';
import { WorkerError } from '../errors.js';
import { problemHeaders, problemOf } from './problem.js';
import { invalid } from './refusal.js';
import { isFailedHandshake } from './tls.js';

/** Makes a server of Node's: a plain one, or one that speaks TLS. */
export type Listener = (options: ServerOptions, handler: RequestListener) => Server;

export interface ListenerOptions {
  /** How long the head of a request may take. */
  readonly headersTimeoutMs?: number;
  /** How often Node looks for heads that took too long. */
  readonly checkIntervalMs?: number;
  /** Plain HTTP where it is not given. */
  readonly create?: Listener;
}

const awaitingContinue = new WeakSet<IncomingMessage>();
const answering = new WeakMap<Socket, ServerResponse>();

/**
 * Node's HTTP server under our rules. An upload may take as long as it moves, so that `requestTimeout` is off and
 * bodies are watched where they are read. Requests that wait for `100 Continue`, or expect something else, are routed
 * like all others.
 */
export function createListener(
  handler: RequestListener,
  { headersTimeoutMs = 15_000, checkIntervalMs = 5_000, create = createServer }: ListenerOptions = {},
): Server {
  const route: RequestListener = (request, response) => {
    answering.set(request.socket, response);
    handler(request, response);
  };
  const server = create(
    {
      headersTimeout: headersTimeoutMs,
      requestTimeout: 0,
      connectionsCheckingInterval: checkIntervalMs,
      // Asked for where all else of a request's head is, so that its lack is answered as all else is.
      requireHostHeader: false,
    },
    route,
  );
  server.keepAliveTimeout = 30_000;
  server.on('checkContinue', (request, response) => {
    awaitingContinue.add(request);
    route(request, response);
  });
  server.on('checkExpectation', route);
  return server;
}

/** Tells a client that waits for it to send its body; once, and only where it waits. */
export function sendContinue(request: IncomingMessage, response: ServerResponse): void {
  if (awaitingContinue.delete(request)) response.writeContinue();
}

/** Answers what Node could not read as a request, unless an answer is under way on this connection already. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  const response = answering.get(socket);
  const busy = response?.headersSent === true && !response.writableFinished;
  if (error.code === 'ECONNRESET' || !socket.writable || busy || isFailedHandshake(socket)) {
    socket.destroy();
    return;
  }
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
  if (code === 'HPE_HEADER_OVERFLOW') return invalid('The head of the request is too large');
  return invalid('This is not an HTTP request that can be read');
}
