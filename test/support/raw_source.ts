import { createServer, type Socket } from 'node:net';
import type { Test } from 'tap';

/** A request that a raw server received. */
export interface RawRequest {
  /** From 1, over all connections. */
  readonly number: number;
  readonly method: string;
  readonly target: string;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
  /** The first and last byte of `Range`. */
  readonly range: readonly [first: number, last: number] | undefined;
}

export type RawHandler = (socket: Socket, request: RawRequest) => void;

/** A server that sends exact bytes, so that it can lie about anything. */
export interface RawServer {
  readonly port: number;
  readonly host: string;
  /** `http://host:port` */
  readonly origin: string;
  readonly requests: readonly RawRequest[];
  /** Connections that were accepted. */
  readonly connections: number;
  readonly open: number;
}

export async function rawServer(t: Test, handler: RawHandler, address = '127.0.0.1'): Promise<RawServer> {
  const requests: RawRequest[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    let heard = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      const isFirst = !heard.includes('\r\n\r\n');
      heard += text;
      if (!isFirst || !heard.includes('\r\n\r\n')) return;
      const request = parse(heard, requests.length + 1);
      requests.push(request);
      handler(socket, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  const host = address.includes(':') ? `[${address}]` : address;
  return {
    port,
    host,
    origin: `http://${host}:${port}`,
    requests,
    get connections() {
      return connections;
    },
    get open() {
      return sockets.size;
    },
  };
}

function parse(heard: string, number: number): RawRequest {
  const [head = ''] = heard.split('\r\n\r\n');
  const [line = '', ...lines] = head.split('\r\n');
  const [method = '', target = ''] = line.split(' ');
  const headers = new Map(
    lines.map((each) => {
      const colon = each.indexOf(':');
      return [each.slice(0, colon).toLowerCase(), each.slice(colon + 1).trim()];
    }),
  );
  const [, first, last] = /^bytes=([0-9]+)-([0-9]+)$/.exec(headers.get('range') ?? '') ?? [];
  const range = first === undefined || last === undefined ? undefined : ([Number(first), Number(last)] as const);
  return { number, method, target, headers, range };
}

/** Text of a response head. */
export function responseHead(status: string, headers: Readonly<Record<string, string | number>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status}\r\n${lines.join('')}\r\n`;
}

export interface PartialOptions {
  readonly etag?: string;
  /** Sent in place of the right headers of the same name. Undefined leaves one out. */
  readonly headers?: Readonly<Record<string, string | number | undefined>>;
  readonly status?: string;
}

/** The head of a right answer to a request for a range of `bytes`. */
export function partialHead(bytes: Uint8Array, request: RawRequest, options: PartialOptions = {}): string {
  const [first, last] = request.range ?? [0, bytes.length - 1];
  const headers = {
    'Content-Range': `bytes ${first}-${last}/${bytes.length}`,
    'Content-Length': last - first + 1,
    ETag: options.etag ?? '"v1"',
    ...options.headers,
  };
  const given = Object.entries(headers).filter((entry): entry is [string, string | number] => entry[1] !== undefined);
  return responseHead(options.status ?? '206 Partial Content', Object.fromEntries(given));
}

/** Sends the requested range of `bytes` as a right server does, and closes the connection. */
export function servePartial(socket: Socket, bytes: Uint8Array, request: RawRequest, options?: PartialOptions): void {
  const [first, last] = request.range ?? [0, bytes.length - 1];
  socket.write(partialHead(bytes, request, options));
  socket.end(bytes.subarray(first, last + 1));
}
