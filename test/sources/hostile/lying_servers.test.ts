import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { WorkerError } from '../../../src/errors.js';
import type { HttpSource } from '../../../src/sources/http/http_source.js';
import { anySignal, httpSource, MemorySink } from '../../support/http_sources.js';
import {
  partialHead,
  type RawHandler,
  type RawRequest,
  rawServer,
  responseHead,
  servePartial,
} from '../../support/raw_source.js';

const mebibyte = 1024 * 1024;

/** Each byte depends on its offset, so that a shift or a gap shows. */
const content = Buffer.from(Uint8Array.from({ length: mebibyte }, (_, at) => (at * 7 + (at >> 8) * 13) & 0xff));
const half = mebibyte / 2;

type Lie = (socket: Socket, request: RawRequest) => void;

interface Outcome {
  readonly error: WorkerError | undefined;
  readonly sink: MemorySink;
  readonly source: HttpSource;
  readonly transfers: readonly RawRequest[];
}

const isProbe = ({ range }: RawRequest): boolean => range !== undefined && range[1] === 0;

/** A server that answers the probe, refuses sidecars, and handles each transfer by `lie`. */
async function transferFrom(t: Test, lie: Lie, { timeoutMs = 20_000 } = {}): Promise<Outcome> {
  const transfers: RawRequest[] = [];
  const handler: RawHandler = (socket, request) => {
    if (request.target.endsWith('.sha256'))
      return void socket.end(responseHead('404 Not Found', { 'Content-Length': 0 }));
    if (isProbe(request)) return servePartial(socket, content, request);
    transfers.push(request);
    lie(socket, { ...request, number: transfers.length });
  };
  const server = await rawServer(t, handler);
  const { open } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] } });
  const source = await open(`${server.origin}/model.gguf`);
  const sink = new MemorySink();
  const error = await source
    .copyTo(sink, { offset: 0, length: source.totalBytes }, { signal: anySignal(), timeoutMs })
    .then(() => undefined)
    .catch((each: WorkerError) => each);
  t.ok(
    sink.content.equals(content.subarray(0, sink.bytes)),
    'the sink has a prefix of the object, without gap or shift',
  );
  return { error, sink, source, transfers };
}

/** Cuts the first transfer in the middle, and handles the rest by `lie`. */
const afterCut =
  (lie: Lie): Lie =>
  (socket, request) => {
    if (request.number > 1) return lie(socket, request);
    socket.write(partialHead(content, request));
    socket.write(content.subarray(0, half), () => socket.destroy());
  };

/** Sends the right bytes below a head with changes. */
const withHead =
  (headers: Record<string, string | number | undefined>, status?: string): Lie =>
  (socket, request) =>
    servePartial(socket, content, request, { headers, ...(status === undefined ? {} : { status }) });

const final: Readonly<Record<string, readonly [code: string, lie: Lie, bytes: number]>> = {
  'another range than the requested one': [
    'SOURCE_INVALID',
    afterCut(withHead({ 'Content-Range': `bytes 0-${mebibyte - 1}/${mebibyte}`, 'Content-Length': mebibyte })),
    half,
  ],
  'a range that is one byte off': [
    'SOURCE_INVALID',
    withHead({ 'Content-Range': `bytes 1-${mebibyte}/${mebibyte}` }),
    0,
  ],
  'a shorter range than the requested one': [
    'SOURCE_INVALID',
    withHead({ 'Content-Range': `bytes 0-99/${mebibyte}`, 'Content-Length': 100 }),
    0,
  ],
  'a partial response without Content-Range': ['SOURCE_INVALID', withHead({ 'Content-Range': undefined }), 0],
  'a Content-Range in other units': ['SOURCE_INVALID', withHead({ 'Content-Range': `items 0-9/${mebibyte}` }), 0],
  'a Content-Range without a total': ['SOURCE_INVALID', withHead({ 'Content-Range': `bytes 0-${mebibyte - 1}/*` }), 0],
  'a Content-Range whose numbers overflow': [
    'SOURCE_INVALID',
    withHead({ 'Content-Range': 'bytes 0-18446744073709551615/18446744073709551616' }),
    0,
  ],
  'a Content-Length that differs from the range': ['SOURCE_INVALID', withHead({ 'Content-Length': mebibyte - 1 }), 0],
  'a changed total': ['SOURCE_CHANGED', withHead({ 'Content-Range': `bytes 0-${mebibyte - 1}/${mebibyte + 1}` }), 0],
  'a changed entity tag in the middle': ['SOURCE_CHANGED', afterCut(withHead({ ETag: '"v2"' })), half],
  'an entity tag that became weak': ['SOURCE_CHANGED', afterCut(withHead({ ETag: 'W/"v1"' })), half],
  'an entity tag that disappeared': ['SOURCE_CHANGED', afterCut(withHead({ ETag: undefined })), half],
  'the whole object, written into the middle': [
    'SOURCE_INVALID',
    afterCut((socket) => {
      socket.write(responseHead('200 OK', { 'Content-Length': mebibyte, ETag: '"v1"' }));
      socket.end(content);
    }),
    half,
  ],
  'the whole object with another length': [
    'SOURCE_CHANGED',
    (socket) => {
      socket.write(responseHead('200 OK', { 'Content-Length': mebibyte + 1, ETag: '"v1"' }));
      socket.end(content);
    },
    0,
  ],
  'the whole object without a length': [
    'SOURCE_INVALID',
    (socket) => {
      socket.write(responseHead('200 OK', { ETag: '"v1"' }));
      socket.end(content);
    },
    0,
  ],
  'extra bytes in chunks': [
    'SOURCE_INVALID',
    (socket, request) => {
      socket.write(
        partialHead(content, request, { headers: { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' } }),
      );
      socket.write(`${mebibyte.toString(16)}\r\n`);
      socket.write(content);
      socket.end('\r\n5\r\nextra\r\n0\r\n\r\n');
    },
    -1,
  ],
  'a compressed body': ['SOURCE_INVALID', withHead({ 'Content-Encoding': 'gzip' }), 0],
  'a body compressed as it is transferred': [
    'SOURCE_INVALID',
    withHead({ 'Content-Length': undefined, 'Transfer-Encoding': 'gzip, chunked' }),
    0,
  ],
  'both a length and chunks': ['SOURCE_INVALID', withHead({ 'Transfer-Encoding': 'chunked' }), 0],
  'two Content-Range headers': [
    'SOURCE_INVALID',
    (socket, request) => {
      const head = partialHead(content, request).slice(0, -2);
      socket.end(`${head}Content-Range: bytes 0-${mebibyte - 1}/${mebibyte}\r\n\r\n`);
    },
    0,
  ],
  'two different Content-Length headers': [
    'SOURCE_INVALID',
    (socket, request) => {
      socket.end(`${partialHead(content, request).slice(0, -2)}Content-Length: 1\r\n\r\n`);
    },
    0,
  ],
  'a chunk size that is no number': [
    'SOURCE_INVALID',
    (socket, request) => {
      socket.write(
        partialHead(content, request, { headers: { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' } }),
      );
      socket.end('zz\r\nhello\r\n0\r\n\r\n');
    },
    0,
  ],
  'a chunk size that overflows': [
    'SOURCE_INVALID',
    (socket, request) => {
      socket.write(
        partialHead(content, request, { headers: { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' } }),
      );
      socket.end(`${'f'.repeat(17)}\r\nhello\r\n0\r\n\r\n`);
    },
    0,
  ],
  'several ranges in parts': [
    'SOURCE_INVALID',
    withHead({ 'Content-Type': 'multipart/byteranges; boundary=x', 'Content-Range': undefined }),
    0,
  ],
  'one header of 64 KiB': ['SOURCE_INVALID', withHead({ 'X-Bomb': 'x'.repeat(65_536) }), 0],
  'thousands of small headers': [
    'SOURCE_INVALID',
    (socket, request) => {
      socket.end(`${partialHead(content, request).slice(0, -2)}${'a: b\r\n'.repeat(20_000)}\r\n`);
    },
    0,
  ],
  'a head without an end': [
    'SOURCE_INVALID',
    (socket) => {
      socket.write('HTTP/1.1 206 Partial Content\r\n');
      const more = (): void => {
        if (!socket.destroyed) socket.write(`X-More: ${'y'.repeat(1000)}\r\n`, more);
      };
      more();
    },
    0,
  ],
  'interim responses without an end': [
    'SOURCE_INVALID',
    (socket) => {
      const more = (): void => {
        if (!socket.destroyed) socket.write('HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n', more);
      };
      more();
    },
    0,
  ],
  'a switch to another protocol': [
    'SOURCE_INVALID',
    (socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'),
    0,
  ],
  'no HTTP at all': ['SOURCE_INVALID', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'), 0],
  'status 416 for ever': [
    'SOURCE_INVALID',
    afterCut((socket) =>
      socket.end(
        responseHead('416 Range Not Satisfiable', { 'Content-Range': `bytes */${mebibyte}`, 'Content-Length': 0 }),
      ),
    ),
    half,
  ],
  'status 416, because the object is shorter now': [
    'SOURCE_CHANGED',
    afterCut((socket) =>
      socket.end(responseHead('416 Range Not Satisfiable', { 'Content-Range': 'bytes */10', 'Content-Length': 0 })),
    ),
    half,
  ],
  'status 204 without a body': ['SOURCE_INVALID', (socket) => socket.end(responseHead('204 No Content', {})), 0],
  'status 404 in the middle': [
    'SOURCE_NOT_FOUND',
    afterCut((socket) => socket.end(responseHead('404 Not Found', { 'Content-Length': 0 }))),
    half,
  ],
  'status 412, because the object was replaced': [
    'SOURCE_CHANGED',
    afterCut((socket) => socket.end(responseHead('412 Precondition Failed', { 'Content-Length': 0 }))),
    half,
  ],
  'a redirect without a Location': ['SOURCE_INVALID', (socket) => socket.end(responseHead('302 Found', {})), 0],
  'a redirect to itself': [
    'SOURCE_INVALID',
    (socket) => socket.end(responseHead('302 Found', { Location: '/model.gguf', 'Content-Length': 0 })),
    0,
  ],
  'a redirect to another file of the host': [
    'SOURCE_FORBIDDEN',
    (socket) => socket.end(responseHead('302 Found', { Location: 'file:///etc/passwd', 'Content-Length': 0 })),
    0,
  ],
};

for (const [title, [code, lie, bytes]] of Object.entries(final)) {
  t.test(`a transfer refuses, without another attempt: ${title}`, async (t) => {
    const { error, sink, transfers } = await transferFrom(t, lie);
    t.match(error?.code, code === 'SOURCE_FORBIDDEN' ? /^SOURCE_(FORBIDDEN|INVALID)$/ : code, error?.message ?? '');
    if (bytes >= 0) t.equal(sink.bytes, bytes);
    t.ok(transfers.length <= 6, `${transfers.length} requests`);
  });
}

t.test('garbage after the object never becomes part of it', async (t) => {
  const { sink, error } = await transferFrom(t, (socket, request) => {
    socket.write(partialHead(content, request));
    socket.end(Buffer.concat([content, Buffer.from('HTTP/1.1 206 Partial Content\r\n\r\ngarbage')]));
  });
  t.ok(error === undefined || error.code === 'SOURCE_INVALID', error?.message ?? '');
  t.ok(sink.bytes <= mebibyte);
});

t.test('a transfer continues after cuts and resets, and each byte arrives once', async (t) => {
  const cuts: Readonly<Record<string, (socket: Socket) => void>> = {
    'a close': (socket) => void socket.end(),
    'a reset': (socket) => void socket.resetAndDestroy(),
  };
  for (const [title, cut] of Object.entries(cuts)) {
    const { error, sink, transfers } = await transferFrom(t, (socket, request) => {
      const [first] = request.range ?? [0];
      socket.write(partialHead(content, request));
      const end = Math.min(first + 300_000, mebibyte);
      socket.write(content.subarray(first, end), () => (end === mebibyte ? socket.end() : setTimeout(cut, 20, socket)));
    });
    t.equal(error, undefined, title);
    t.ok(sink.content.equals(content), title);
    t.ok(transfers.length >= 4, title);
  }
});

t.test('a body that lacks its last chunk is complete if all bytes are here', async (t) => {
  const { error, sink } = await transferFrom(t, (socket, request) => {
    socket.write(
      partialHead(content, request, { headers: { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' } }),
    );
    socket.write(`${mebibyte.toString(16)}\r\n`);
    socket.end(content);
  });
  t.equal(error, undefined);
  t.ok(sink.content.equals(content));
});

t.test('a source without ranges can send the whole object at once', async (t) => {
  const { error, sink } = await transferFrom(t, (socket) => {
    socket.write(responseHead('200 OK', { 'Content-Length': mebibyte, ETag: '"v1"' }));
    socket.end(content);
  });
  t.equal(error, undefined);
  t.ok(sink.content.equals(content));
});

t.test('without an entity tag, another modification date is a change', async (t) => {
  let date = 'Thu, 01 Jan 2026 00:00:00 GMT';
  const server = await rawServer(t, (socket, request) =>
    servePartial(socket, content, request, { headers: { ETag: undefined, 'Last-Modified': date } }),
  );
  const { open } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] } });
  const source = await open(`${server.origin}/model?x`);
  await source.copyTo(new MemorySink(), { offset: 10, length: 10 }, { signal: anySignal() });
  date = 'Fri, 02 Jan 2026 00:00:00 GMT';
  const again = source.copyTo(new MemorySink(), { offset: 10, length: 10 }, { signal: anySignal() });
  await t.rejects(again, { code: 'SOURCE_CHANGED', retriable: undefined });
});
