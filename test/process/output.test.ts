import type { write } from 'node:fs';
import t from 'tap';
import { Output, type OutputKind } from '../../src/process/output.js';
import { until } from '../support/until.js';

type Done = (error: NodeJS.ErrnoException | null, written: number) => void;

/** An output over a descriptor that `answer` controls. */
function outputOver(answer: (bytes: Buffer, done: Done) => void) {
  const dropped: OutputKind[] = [];
  let writing = 0;
  let mostWriting = 0;
  const fake = (_fd: number, bytes: Buffer, offset: number, length: number, _position: null, done: Done) => {
    writing += 1;
    mostWriting = Math.max(mostWriting, writing);
    answer(bytes.subarray(offset, offset + length), (error, written) => {
      writing -= 1;
      done(error, written);
    });
  };
  const output = new Output(1, fake as unknown as typeof write, { full: 1, failed: 1 });
  output.observe((kind) => dropped.push(kind));
  return { output, dropped, mostWriting: () => mostWriting };
}

const failure = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });

t.test('lines arrive whole and in order, although each write takes a few bytes', async (t) => {
  let text = '';
  const { output, mostWriting } = outputOver((bytes, done) => {
    const part = bytes.subarray(0, 5);
    text += part.toString('latin1');
    setImmediate(done, null, part.length);
  });
  const lines = Array.from({ length: 50 }, (_, n) => `line ${n}\n`);
  for (const line of lines) output.put(line, 'worker');
  await output.flush(5000);
  t.equal(text, lines.join(''));
  t.equal(mostWriting(), 1, 'one write runs at a time');
  t.ok(output.isIdle);
});

t.test('lines wait while writes fail, and arrive when they succeed again', async (t) => {
  for (const code of ['EAGAIN', 'ENOSPC', 'EIO', 'EPIPE']) {
    let text = '';
    let calls = 0;
    const { output, dropped } = outputOver((bytes, done) => {
      calls += 1;
      if (calls === 2 || calls === 3) return void setImmediate(done, failure(code), 0);
      const part = calls === 1 ? bytes.subarray(0, 3) : bytes;
      text += part.toString();
      setImmediate(done, null, part.length);
    });
    output.put('first\n', 'worker');
    output.put('second\n', 'request');
    await output.flush(5000);
    t.equal(text, 'first\nsecond\n', code);
    t.same(dropped, []);
  }
});

t.test('lines of requests that follow each other share a write, and other lines do not wait', async (t) => {
  const writes: string[] = [];
  const { output } = outputOver((bytes, done) => {
    writes.push(bytes.toString());
    setImmediate(done, null, bytes.length);
  });
  output.put('first\n', 'request');
  output.put('second\n', 'request');
  t.same(writes, []);
  t.notOk(output.isIdle);
  await until(() => output.isIdle, 'the lines are written without a flush');
  t.same(writes, ['first\nsecond\n']);
  for (const kind of ['worker', 'error'] as const) {
    writes.length = 0;
    output.put('request\n', 'request');
    output.put(`${kind}\n`, kind);
    t.same(writes, [`request\n${kind}\n`], `a line of kind ${kind} takes the waiting ones with it, in order`);
    await until(() => output.isIdle, 'written');
  }
  output.put('last\n', 'request');
  writes.length = 0;
  const flushed = output.flush(5000);
  t.same(writes, ['last\n'], 'a flush does not wait for more lines');
  await flushed;
});

t.test('beyond its bound each kind of line is dropped, errors last', async (t) => {
  const { output, dropped } = outputOver(() => undefined);
  output.put('taken\n', 'worker');
  const kibibyte = 'x'.repeat(1024);
  const fill = (kind: OutputKind, count: number) => {
    for (let n = 0; n < count; n++) output.put(kibibyte, kind);
    return dropped.splice(0).filter((one) => one === kind).length;
  };
  t.equal(fill('request', 1030), 6, 'requests have 1 MiB');
  t.equal(fill('worker', 1030), 6, 'and the worker has its own');
  t.equal(fill('error', 2050), 2, 'errors have the rest of 4 MiB');
  t.equal(fill('request', 1), 1);
  await output.flush(1);
  t.notOk(output.isIdle, 'a flush ends although the write hangs');
});

t.test('without room the waiting bytes shrink as they are written', async (t) => {
  const { output, dropped } = outputOver((bytes, done) => setImmediate(done, null, bytes.length));
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 1000; n++) output.put('x'.repeat(1024), 'request');
    await output.flush(5000);
  }
  t.same(dropped, []);
});
