import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import t from 'tap';
import { WorkerError } from '../../../src/errors.js';
import { type Sink, streamBody } from '../../../src/http/upload/stream_body.js';

const idleSeconds = 3600;

/** A sink that keeps its bytes. A slow one returns a promise for every chunk. */
function collector(slow: boolean) {
  const chunks: Uint8Array[] = [];
  let waiting = false;
  const sink: Sink = {
    signal: new AbortController().signal,
    write(chunk) {
      if (waiting) throw new Error('written to before it was ready');
      chunks.push(Uint8Array.from(chunk));
      if (!slow) return undefined;
      waiting = true;
      return new Promise((resolve) =>
        setImmediate(() => {
          waiting = false;
          resolve();
        }),
      );
    },
  };
  return { sink, bytes: () => Buffer.concat(chunks) };
}

t.test('every byte arrives in order, for any chunks and any speed of the sink', async (t) => {
  const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 100 }), { minLength: 1, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(chunks, fc.boolean(), async (parts, slow) => {
      const whole = Buffer.concat(parts);
      const source = new PassThrough();
      const { sink, bytes } = collector(slow);
      const pumped = streamBody(source, sink, { declaredBytes: whole.length, idleSeconds });
      for (const part of parts) source.write(part);
      source.end();
      await pumped;
      t.ok(bytes().equals(whole));
    }),
    { numRuns: 50 },
  );
});

t.test('a body that is too short, too long or interrupted is a LENGTH_MISMATCH', async (t) => {
  const run = async (end: (source: PassThrough) => void) => {
    const source = new PassThrough();
    const pumped = streamBody(source, collector(false).sink, { declaredBytes: 5, idleSeconds });
    source.write('abc');
    end(source);
    return pumped;
  };
  await t.rejects(
    run((source) => source.end()),
    { code: 'LENGTH_MISMATCH', message: /shorter than declared: 3 of 5/ },
  );
  await t.rejects(
    run((source) => source.end('defg')),
    { code: 'LENGTH_MISMATCH', message: /longer than declared: 7 of 5/ },
  );
  await t.rejects(
    run((source) => source.destroy()),
    { code: 'LENGTH_MISMATCH', message: /client disconnected/ },
  );
  await run((source) => source.end('de'));
  const gone = new PassThrough();
  gone.destroy();
  await t.rejects(streamBody(gone, collector(false).sink, { declaredBytes: 5, idleSeconds }), {
    code: 'LENGTH_MISMATCH',
  });
});

t.test('errors and aborts of the sink reject, and leave the source paused', async (t) => {
  const wrong = new WorkerError('CUDA_ERROR', 'the device');
  const ended = new AbortController();
  const sinks: Sink[] = [
    {
      ...collector(false).sink,
      write: () => {
        throw wrong;
      },
    },
    { ...collector(false).sink, write: () => Promise.reject(wrong) },
    { write: () => undefined, signal: ended.signal },
    { write: () => undefined, signal: AbortSignal.abort(wrong) },
  ];
  for (const sink of sinks) {
    const source = new PassThrough();
    const pumped = streamBody(source, sink, { declaredBytes: 5, idleSeconds });
    source.write('abc');
    setImmediate(() => ended.abort(wrong));
    await t.rejects(pumped, wrong);
    t.ok(source.isPaused());
    t.equal(source.listenerCount('data'), 0);
  }
});
