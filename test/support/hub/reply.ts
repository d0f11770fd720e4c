import type { ServerResponse } from 'node:http';

/** An answer of the fixture. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body?: Buffer | string;
  /** Closes the connection after this many bytes of the body. */
  readonly cutBytes?: number | undefined;
}

export function json(value: unknown, headers: Readonly<Record<string, string | undefined>> = {}): Reply {
  return {
    status: 200,
    headers: { 'Content-Type': 'application/json; charset=utf-8', ...headers },
    body: JSON.stringify(value),
  };
}

export const redirect = (status: number, location: string, headers: Reply['headers'] = {}): Reply => ({
  status,
  headers: { 'Content-Type': 'text/plain; charset=utf-8', Location: location, ...headers },
  body: `Redirecting to ${location}`,
});

/** The answer to a request for a range of `content`, or for all of it. */
export function partial(content: Buffer, range: string | undefined, headers: Reply['headers']): Reply {
  const [, first = '', last = ''] = /^bytes=([0-9]+)-([0-9]*)$/.exec(range ?? '') ?? [];
  if (first === '') return { status: 200, headers: { 'Accept-Ranges': 'bytes', ...headers }, body: content };
  const end = last === '' ? content.length - 1 : Math.min(Number(last), content.length - 1);
  if (Number(first) >= content.length) {
    return { status: 416, headers: { 'Content-Range': `bytes */${content.length}` } };
  }
  return {
    status: 206,
    headers: { 'Accept-Ranges': 'bytes', 'Content-Range': `bytes ${first}-${end}/${content.length}`, ...headers },
    body: content.subarray(Number(first), end + 1),
  };
}

export function send(response: ServerResponse, { status, headers, body = '', cutBytes }: Reply): void {
  const bytes = Buffer.from(body);
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) response.setHeader(name, value);
  response.setHeader('Content-Length', bytes.length);
  response.writeHead(status);
  if (cutBytes === undefined || cutBytes >= bytes.length) return void response.end(bytes);
  response.write(bytes.subarray(0, cutBytes), () => response.destroy());
}
