import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import { copyAll } from '../../src/sources/copy_all.js';
import { copyParallel, minRangeBytes } from '../../src/sources/copy_parallel.js';
import { rangeAlignmentBytes } from '../../src/sources/ranged_sink.js';
import { patternBytes } from '../support/bytes.js';
import { ManualClock } from '../support/manual_clock.js';
import { MemorySink, ScriptedSource, type Send } from '../support/range_sinks.js';

const mebibyte = 1024 * 1024;
const pattern = patternBytes(67 * mebibyte + 4097);
const { signal } = new AbortController();

/** Sends a range in chunks of these lengths, over and over. Other transfers run between them. */
const sendIn =
  (lengths: readonly number[], bytes: Buffer = pattern): Send =>
  async (sink, { offset, length }, stopped) => {
    for (let done = 0, index = 0; done < length && !stopped.aborted; index++) {
      const chunk = Math.min(lengths[index % lengths.length] ?? 1, length - done);
      await sink.write(bytes.subarray(offset + done, offset + done + chunk));
      done += chunk;
      await nextTurn();
    }
  };

const untilAborted = (stopped: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (stopped.aborted) resolve();
    stopped.addEventListener('abort', () => resolve(), { once: true });
  });

/** Runs a copy, whose clock advances with every turn of the event loop. */
async function withClock(clock: ManualClock, copy: Promise<void>): Promise<void> {
  let isRunning = true;
  const ended = copy.finally(() => {
    isRunning = false;
  });
  ended.catch(() => undefined);
  while (isRunning) {
    clock.advance(50);
    await nextTurn();
  }
  await ended;
}

t.test('every byte arrives once, for any length, number of writers and chunks', async (t) => {
  const around = fc.constantFrom(
    ...[-1, 0, 1].flatMap((by) => [2 * minRangeBytes + by, 3 * minRangeBytes + rangeAlignmentBytes + by]),
    pattern.length,
  );
  const chunks = fc.array(fc.integer({ min: 60_000, max: 3 * mebibyte }), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(around, fc.integer({ min: 2, max: 9 }), chunks, async (totalBytes, writers, lengths) => {
      const sink = new MemorySink(totalBytes, writers);
      const source = new ScriptedSource(totalBytes, sendIn(lengths));
      await copyParallel(source, sink, { signal });
      return sink.isComplete && sink.bytes.equals(pattern.subarray(0, totalBytes));
    }),
    { numRuns: 12 },
  );
  t.pass();
});

t.test('a range that stalls is divided, and its last bytes come over a new connection', async (t) => {
  const sink = new MemorySink(pattern.length, 3);
  const source = new ScriptedSource(pattern.length, async (part, range, stopped, number) => {
    if (number !== 1) return sendIn([mebibyte])(part, range, stopped, number);
    await part.write(pattern.subarray(range.offset, range.offset + 999));
    await untilAborted(stopped);
  });
  const clock = new ManualClock();
  await withClock(clock, copyParallel(source, sink, { signal }, clock));
  t.ok(sink.isComplete);
  t.ok(sink.bytes.equals(pattern));
  t.equal(source.ranges[0]?.offset, 0);
  const again = source.ranges.find(({ offset }) => offset === 999);
  t.ok(again !== undefined && again.length < 2 * rangeAlignmentBytes, 'the rest, which is too short to divide');
  t.equal(clock.pending, 0, 'no timer is left');
});

t.test('ranges that divide at each other keep every byte, at any speed of any connection', async (t) => {
  const speeds = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 5, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(speeds, async (turns) => {
      const totalBytes = 3 * minRangeBytes + 12_345;
      const sink = new MemorySink(totalBytes, 3);
      const source = new ScriptedSource(totalBytes, async (part, { offset, length }, stopped, number) => {
        for (let done = 0; done < length && !stopped.aborted; done += 300_001) {
          const chunk = pattern.subarray(offset + done, Math.min(offset + length, offset + done + 300_001));
          await part.write(chunk);
          for (let turn = 0; turn < (turns[number % 5] ?? 0) && !stopped.aborted; turn++) await nextTurn();
        }
      });
      const clock = new ManualClock();
      await withClock(clock, copyParallel(source, sink, { signal }, clock));
      return sink.isComplete && sink.bytes.equals(pattern.subarray(0, totalBytes)) && clock.pending === 0;
    }),
    { numRuns: 10 },
  );
  t.pass();
});

t.test('the first failure ends all transfers, and is the error', async (t) => {
  const sink = new MemorySink(pattern.length, 4);
  let running = 0;
  const source = new ScriptedSource(pattern.length, async (part, range, stopped, number) => {
    if (number === 3) throw new Error('the third range failed');
    running++;
    await part.write(pattern.subarray(range.offset, range.offset + 100));
    await untilAborted(stopped);
    running--;
  });
  await t.rejects(copyParallel(source, sink, { signal }), { message: 'the third range failed' });
  t.equal(running, 0);
  t.equal(source.ranges.length, 4, 'no range begins after the failure');
});

t.test('a cancel ends all transfers with its reason', async (t) => {
  const sink = new MemorySink(pattern.length, 4);
  const canceled = new AbortController();
  let running = 0;
  const source = new ScriptedSource(pattern.length, async (_, __, stopped) => {
    if (++running === 4) canceled.abort(new Error('canceled'));
    await untilAborted(stopped);
    running--;
  });
  await t.rejects(copyParallel(source, sink, { signal: canceled.signal }), { message: 'canceled' });
  t.equal(running, 0);
});

t.test('a sink that takes no more bytes ends all transfers, also those that wait', async (t) => {
  const sink = new MemorySink(pattern.length, 4);
  const source = new ScriptedSource(pattern.length, async (_, __, stopped, number) => {
    if (number === 4) sink.aborted.abort(new Error('aborted'));
    await untilAborted(stopped);
  });
  await t.rejects(copyParallel(source, sink, { signal }), { message: 'aborted' });
  await t.rejects(copyParallel(source, sink, { signal }), RangeError, 'all its writers are open already');
});

t.test('the time limit is that of all ranges together', async (t) => {
  const clock = new ManualClock();
  const sink = new MemorySink(pattern.length, 4);
  const source = new ScriptedSource(pattern.length, async (_, __, stopped) => untilAborted(stopped));
  const copy = copyParallel(source, sink, { signal, timeoutMs: 7000 }, clock);
  await t.rejects(withClock(clock, copy), { code: 'SOURCE_TIMEOUT', message: /within 7 s/ });
  t.equal(clock.pending, 0);
});

t.test('a source that ends a range early fails the copy', async (t) => {
  const sink = new MemorySink(pattern.length, 2);
  const source = new ScriptedSource(pattern.length, async (part, { offset }) => {
    await part.write(pattern.subarray(offset, offset + 100));
  });
  await t.rejects(copyParallel(source, sink, { signal }), RangeError);
});

t.test('bytes are read in order if the sink, the source or the length asks for it', async (t) => {
  for (const [maxWriters, supportsRanges, totalBytes] of [
    [1, true, pattern.length],
    [4, false, pattern.length],
    [4, true, minRangeBytes],
  ] as const) {
    const received: Buffer[] = [];
    const sink = {
      totalBytes,
      maxWriters,
      write: (chunk: Uint8Array) => void received.push(Buffer.from(chunk)),
      openWriter: () => t.fail('no writer is opened'),
    };
    const source = new ScriptedSource(totalBytes, sendIn([mebibyte]));
    await copyAll(
      { ...source, supportsRanges, copyTo: source.copyTo.bind(source), close: () => undefined },
      sink as never,
      {
        signal,
      },
    );
    t.ok(Buffer.concat(received).equals(pattern.subarray(0, totalBytes)));
    t.equal(source.ranges.length, 1);
  }
});
