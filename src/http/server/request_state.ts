import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Moment, momentNow } from '../../vram/moment.js';

/** State of one connection. */
export interface ConnectionState {
  /** The TLS handshake failed, so the client cannot read a response. */
  handshakeFailed: boolean;
  /** The most recent response. A pipelined request waits until it closes. */
  latest: LatestResponse | undefined;
}

export interface LatestResponse {
  readonly response: ServerResponse;
  isClosed: boolean;
}

/** State of one request. It is keyed by Node's object, because some of it exists before Fastify sees the request. */
export interface RequestState {
  /** When the request came in, before it waited for anything. */
  readonly arrivedAt: Moment;
  /** The client waits for `100 Continue` before it sends the body. */
  awaitsContinue: boolean;
  /** The worker read the whole body, even if Node's parser did not see it. */
  bodyConsumed: boolean;
  /** Part of the body was read directly from the socket, so Node's parser cannot find the next request. */
  readDirectly: boolean;
  /** The request has a valid token. */
  isAuthenticated: boolean;
  /** The path could not be decoded. */
  hasBadPath: boolean;
  /** The result of the route's early parser. */
  parsed: unknown;
}

const connections = new WeakMap<Socket, ConnectionState>();
const requests = new WeakMap<IncomingMessage, RequestState>();

export function connectionState(socket: Socket): ConnectionState {
  let state = connections.get(socket);
  if (state === undefined) {
    state = { handshakeFailed: false, latest: undefined };
    connections.set(socket, state);
  }
  return state;
}

export function requestState(request: IncomingMessage): RequestState {
  let state = requests.get(request);
  if (state === undefined) {
    state = {
      arrivedAt: momentNow(),
      awaitsContinue: false,
      bodyConsumed: false,
      readDirectly: false,
      isAuthenticated: false,
      hasBadPath: false,
      parsed: undefined,
    };
    requests.set(request, state);
  }
  return state;
}
