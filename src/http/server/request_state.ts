import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type Moment, momentNow } from '../../vram/moment.js';
import { Connection } from './connection.js';

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

const connections = new WeakMap<Socket, Connection>();
const requests = new WeakMap<IncomingMessage, RequestState>();

/** The connection of a TCP or TLS socket. */
export function connectionOf(socket: Socket): Connection {
  let connection = connections.get(socket);
  if (connection === undefined) {
    connection = new Connection(socket);
    connections.set(socket, connection);
  }
  return connection;
}

/** Makes a TLS socket part of the connection of the TCP socket below it. */
export function secureConnection(tcpSocket: Socket, tlsSocket: Socket): void {
  const connection = connectionOf(tcpSocket);
  connection.secure(tlsSocket);
  connections.set(tlsSocket, connection);
}

/** The state of a request, which its first caller creates. */
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
