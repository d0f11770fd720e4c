import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Test } from 'tap';

/** What a test changes about the answers of a server. A function that returns true has answered itself. */
export type Interference = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface RangeServer {
  readonly origin: string;
  /** The paths of all requests, in order, with `Range`. */
  readonly requests: { readonly path: string; readonly range: string | undefined }[];
  /** By path. Tests may replace a file. */
  readonly files: Map<string, Buffer>;
  interfere: Interference | undefined;
}

/** Serves files with ranges and strong entity tags, as common HTTP servers do. Ends with the test. */
export async function rangeServer(t: Test, files: Readonly<Record<string, Buffer>>): Promise<RangeServer> {
  const server = createServer((request, response) => {
    const { url: path = '' } = request;
    const { range } = request.headers;
    served.requests.push({ path, range });
    if (served.interfere?.(request, response) === true) return;
    const file = served.files.get(path.replace(/\?.*$/, ''));
    if (file === undefined) response.writeHead(404).end();
    else sendRange(response, file, range);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const served: RangeServer = {
    origin: `http://127.0.0.1:${port}`,
    requests: [],
    files: new Map(Object.entries(files)),
    interfere: undefined,
  };
  return served;
}

/** Sends the requested range of a file. `cutAt` ends the connection at this byte of the file. */
export function sendRange(response: ServerResponse, file: Buffer, range: string | undefined, cutAt?: number): void {
  const [, first = '0', last = String(file.length - 1)] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
  const [start, end] = [Number(first), Math.min(Number(last) + 1, file.length)];
  const headers = { 'Content-Length': end - start, ETag: `"${file.length}-${file.subarray(0, 16).toString('hex')}"` };
  if (range === undefined) response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, 'Content-Range': `bytes ${start}-${end - 1}/${file.length}` });
  if (cutAt === undefined || cutAt >= end || cutAt < start) {
    response.end(file.subarray(start, end));
    return;
  }
  response.write(file.subarray(start, cutAt), () => response.socket?.destroy());
}
