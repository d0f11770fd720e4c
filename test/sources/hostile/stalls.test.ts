import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { Bandwidth } from '../../../src/sources/egress/bandwidth.js';
import type { Retry } from '../../../src/sources/egress/request.js';
import { anySignal, httpSource, MemorySink } from '../../support/http_sources.js';
import { ManualClock } from '../../support/manual_clock.js';
import { partialHead, type RawRequest, rawServer, servePartial } from '../../support/raw_source.js';
import { until } from '../../support/until.js';

const mebibyte = 1024 * 1024;
const content = Buffer.alloc(4 * mebibyte, 'weights ');
const whole = { offset: 0, length: content.length };

async function start(t: Test, serve: (socket: Socket, request: RawRequest) => void, bandwidth = 0) {
  const clock = new ManualClock();
  const sockets: Socket[] = [];
  const server = await rawServer(t, (socket, request) => {
    if (request.range?.[1] === 0) return servePartial(socket, content, request);
    sockets.push(socket);
    serve(socket, request);
  });
  const { open, egress } = httpSource({
    settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] },
    environment: { clock, random: () => 0, bandwidth: new Bandwidth(bandwidth, clock) },
  });
  const retries: Retry[] = [];
  const onRetry = (retry: Retry) => {
    retries.push(retry);
    setImmediate(() => clock.advance(retry.waitMs));
  };
  const source = await open(`${server.origin}/model?x`);
  return { clock, server, sockets, source, egress, retries, options: { signal: anySignal(), onRetry } };
}

t.test(
  'a source that falls silent is a stall after 30 s, and the transfer continues on a new connection',
  async (t) => {
    const { clock, source, options, retries, server } = await start(t, (socket, request) => {
      const [first] = request.range ?? [0];
      socket.write(partialHead(content, request));
      if (first === 0) socket.write(content.subarray(0, mebibyte));
      else socket.end(content.subarray(first));
    });
    const sink = new MemorySink();
    const copied = source.copyTo(sink, whole, options);
    await until(() => sink.bytes === mebibyte);
    clock.advance(29_999);
    t.equal(retries.length, 0, 'before 30 s it may still send');
    // The megabyte before the silence is enough for the first window, so the silence counts from its end.
    clock.advance(30_001);
    await copied;
    t.ok(sink.content.equals(content));
    t.match(retries, [{ waitMs: 0, error: { code: 'SOURCE_TIMEOUT' } }]);
    await until(() => server.open === 0, 'the stalled connection is open');
  },
);

t.test('a source that drips one byte at a time is a stall, however long it continues', async (t) => {
  const { clock, source, options, retries, sockets } = await start(t, (socket, request) => {
    socket.write(partialHead(content, request));
  });
  const sink = new MemorySink();
  const controller = new AbortController();
  const copied = source.copyTo(sink, whole, { ...options, signal: controller.signal });
  copied.catch(() => undefined);
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    await until(() => sockets.length === attempt);
    const before = sink.bytes;
    for (let second = 0; second < 29; second += 1) {
      sockets.at(-1)?.write('w');
      await until(() => sink.bytes === before + second + 1);
      clock.advance(1000);
    }
    clock.advance(1000);
    await until(() => retries.length === attempt);
  }
  controller.abort(new Error('seen enough'));
  await t.rejects(copied, { message: 'seen enough' });
  t.match(retries, [{ error: { code: 'SOURCE_TIMEOUT' } }, { error: { code: 'SOURCE_TIMEOUT' } }]);
  t.match(retries[0]?.error.message, 'The source stalled: it sent 29 bytes in 30 s');
});

t.test('a source above the minimum rate is not a stall', async (t) => {
  const { clock, source, options, retries, sockets } = await start(t, (socket, request) => {
    socket.write(partialHead(content, request));
  });
  const sink = new MemorySink();
  const copied = source.copyTo(sink, whole, options);
  await until(() => sockets.length === 1);
  const step = 70_000;
  for (let sent = 0; sent < content.length; sent += step) {
    const chunk = content.subarray(sent, sent + step);
    sockets[0]?.write(chunk);
    await until(() => sink.bytes === sent + chunk.length);
    clock.advance(1000);
  }
  await copied;
  t.strictSame(retries, []);
});

t.test('the time of a slow reader does not count as a stall', async (t) => {
  const { clock, source, options, retries } = await start(t, (socket, request) => {
    socket.write(partialHead(content, request));
    socket.end(content);
  });
  let bytes = 0;
  await source.copyTo(
    {
      write: async (chunk) => {
        bytes += chunk.length;
        clock.advance(60_000);
      },
    },
    whole,
    options,
  );
  t.equal(bytes, content.length);
  t.strictSame(retries, []);
});

t.test('a reader that does not read stops the source: memory and the connection hold a bounded part', async (t) => {
  const large = 256 * mebibyte;
  const block = Buffer.alloc(mebibyte);
  let sent = 0;
  const server = await rawServer(t, (socket, request) => {
    if (request.range?.[1] === 0) {
      return servePartial(socket, Buffer.alloc(1), request, { headers: { 'Content-Range': `bytes 0-0/${large}` } });
    }
    socket.write(
      partialHead(block, request, {
        headers: { 'Content-Range': `bytes 0-${large - 1}/${large}`, 'Content-Length': large },
      }),
    );
    const more = (): void => {
      sent += block.length;
      if (sent < large && !socket.destroyed) socket.write(block, more);
    };
    more();
  });
  const { open } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] } });
  const source = await open(`${server.origin}/model?x`);
  t.equal(source.totalBytes, large);
  const controller = new AbortController();
  let chunks = 0;
  let release: () => void = () => undefined;
  const copied = source.copyTo(
    {
      write: () => {
        chunks += 1;
        return new Promise<void>((resolve) => {
          release = resolve;
        });
      },
    },
    { offset: 0, length: large },
    { signal: controller.signal },
  );
  await until(() => chunks === 1);
  let previous = -1;
  await until(async () => {
    const isStill = sent === previous;
    previous = sent;
    await new Promise((resolve) => setTimeout(resolve, 50));
    return isStill;
  }, 'the source was never stopped');
  t.ok(sent < 32 * mebibyte, `${sent} bytes left the source while nothing was read`);
  t.equal(chunks, 1, 'the sink got no second chunk');
  release();
  await until(() => chunks === 2);
  controller.abort(new Error('enough'));
  await t.rejects(copied, { message: 'enough' });
});

t.test('the bandwidth limit holds over a transfer', async (t) => {
  const { clock, source, options } = await start(
    t,
    (socket, request) => {
      socket.write(partialHead(content, request));
      socket.end(content);
    },
    mebibyte,
  );
  const sink = new MemorySink();
  const startMs = clock.monotonicMs();
  let done = false;
  const copied = source.copyTo(sink, whole, options).then(() => {
    done = true;
  });
  await until(() => {
    if (!done) clock.advance(50);
    const seconds = (clock.monotonicMs() - startMs) / 1000;
    const allowed = mebibyte * (seconds + 0.15) + 65_536;
    if (sink.bytes > allowed) throw new Error(`${sink.bytes} bytes in ${seconds} s`);
    return done;
  });
  await copied;
  const seconds = (clock.monotonicMs() - startMs) / 1000;
  t.ok(seconds >= 3.8, `4 MiB at 1 MiB/s took ${seconds} s of the clock`);
});
