import { read } from 'node:fs';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { Bandwidth } from '../../../src/sources/egress/bandwidth.js';
import type { ByteSink } from '../../../src/sources/egress/byte_sink.js';
import { systemClock } from '../../../src/sources/egress/clock.js';
import { patternBytes } from '../../support/bytes.js';
import { anySignal, httpSource } from '../../support/http_sources.js';
import { partialHead, type RawHandler, rawServer, servePartial } from '../../support/raw_source.js';

const mebibyte = 1024 * 1024;
const content = patternBytes(12 * mebibyte);
const readDescriptor = promisify(read);

/** A sink that reads the socket itself, as libvram does, until no byte is there. */
class SocketSink implements ByteSink {
  readonly #content = Buffer.alloc(content.length);
  bytes = 0;
  directBytes = 0;

  write(chunk: Uint8Array): undefined {
    this.#content.set(chunk, this.bytes);
    this.bytes += chunk.length;
  }

  async receive(descriptor: number, maxBytes: number): Promise<number> {
    let done = 0;
    while (done < maxBytes) {
      const length = Math.min(mebibyte, maxBytes - done);
      const { bytesRead } = await readDescriptor(descriptor, this.#content, this.bytes, length, null).catch(() => ({
        bytesRead: 0,
      }));
      if (bytesRead === 0) break;
      done += bytesRead;
      this.bytes += bytesRead;
      this.directBytes += bytesRead;
    }
    return done;
  }

  get content(): Buffer {
    return this.#content.subarray(0, this.bytes);
  }
}

const serveAll: RawHandler = (socket, request) => servePartial(socket, content, request);

async function copy(t: Test, serve: RawHandler, bytesPerSecond = 0): Promise<SocketSink> {
  const server = await rawServer(t, (socket, request) =>
    request.range?.[1] === 0 ? servePartial(socket, content, request) : serve(socket, request),
  );
  const { open } = httpSource({
    settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] },
    environment: { bandwidth: new Bandwidth(bytesPerSecond, systemClock) },
  });
  const source = await open(`${server.origin}/model?x`);
  const sink = new SocketSink();
  await source.copyTo(sink, { offset: 0, length: content.length }, { signal: anySignal(), timeoutMs: 60_000 });
  return sink;
}

t.test('a fast body is read by the sink from the socket, and every byte arrives once and in order', async (t) => {
  const sink = await copy(t, serveAll);
  t.ok(sink.content.equals(content));
  t.ok(sink.directBytes > 0, 'some bytes did not pass through Node');
});

t.test('a connection that ends during a direct read is continued', async (t) => {
  const sink = await copy(t, (socket, request) => {
    const [first] = request.range ?? [0];
    socket.write(partialHead(content, request));
    socket.end(content.subarray(first, first + 3 * mebibyte + 12_345));
  });
  t.ok(sink.content.equals(content));
});

t.test('chunked bodies and limited transfers pass through Node', async (t) => {
  const chunked = await copy(t, (socket, request) => {
    const [first, last] = request.range ?? [0, 0];
    socket.write(
      partialHead(content, request, { headers: { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' } }),
    );
    socket.write(`${(last - first + 1).toString(16)}\r\n`);
    socket.write(content.subarray(first, last + 1));
    socket.end('\r\n0\r\n\r\n');
  });
  t.ok(chunked.content.equals(content));
  t.equal(chunked.directBytes, 0);
  const limited = await copy(t, serveAll, 1e9);
  t.ok(limited.content.equals(content));
  t.equal(limited.directBytes, 0);
});

t.test('bytes after the range never reach a sink that reads the socket', async (t) => {
  const sink = await copy(t, (socket, request) => {
    socket.write(partialHead(content, request));
    socket.write(content);
    socket.end('HTTP/1.1 206 Partial Content\r\n\r\ngarbage');
  });
  t.ok(sink.content.equals(content));
});
