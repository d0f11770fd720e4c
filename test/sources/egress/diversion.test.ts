import t from 'tap';
import { Diversion, type Take } from '../../../src/sources/egress/diversion.js';

const chunk = (text: string): Buffer => Buffer.from(text);

/** A diversion whose taker is `take`, and what it does to its connection. */
function divert(take: Take) {
  const calls: string[] = [];
  const connection = { resume: () => void calls.push('resume'), keepChunk: () => void calls.push('keep') };
  return { diversion: new Diversion(take, connection), calls };
}

/** A taker that waits for `next` after each chunk. */
function slowTaker() {
  const taken: string[] = [];
  let resolve: (isDone: boolean) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const take: Take = (bytes) => {
    taken.push(String(bytes));
    return new Promise<boolean>((onDone, onError) => {
      resolve = onDone;
      reject = onError;
    });
  };
  const turn = () => new Promise((done) => setImmediate(done));
  return {
    take,
    taken,
    next: (isDone = false) => {
      resolve(isDone);
      return turn();
    },
    fail: (error: Error) => {
      reject(error);
      return turn();
    },
  };
}

t.test('chunks go to the taker at once, until it wants no more', async (t) => {
  const taken: string[] = [];
  const { diversion, calls } = divert((bytes) => taken.push(String(bytes)) === 3);
  t.strictSame(
    [diversion.offer(chunk('a')), diversion.offer(chunk('b')), diversion.offer(chunk('c'))],
    [true, true, false],
  );
  await diversion.ended;
  t.notOk(diversion.offer(chunk('d')));
  t.strictSame(taken, ['a', 'b', 'c']);
  t.strictSame(calls, []);
});

t.test('chunks that arrive while the taker is busy wait in order, and their memory may be reused', async (t) => {
  const { take, taken, next } = slowTaker();
  const { diversion, calls } = divert(take);
  const buffer = chunk('ab');
  t.notOk(diversion.offer(buffer.subarray(0, 1)));
  t.strictSame(calls, ['keep'], 'the buffer of the first chunk is in use');
  t.notOk(diversion.offer(buffer.subarray(1)));
  buffer.fill('x');
  await next();
  t.strictSame(taken, ['a', 'b']);
  t.notOk(calls.includes('resume'), 'still busy');
  await next();
  t.equal(calls.at(-1), 'resume');
  t.notOk(diversion.offer(chunk('c')));
  await next(true);
  await diversion.ended;
});

t.test('the end of the connection waits for the chunks before it', async (t) => {
  for (const error of [null, new Error('reset')]) {
    const { take, taken, next } = slowTaker();
    const { diversion } = divert(take);
    diversion.offer(chunk('a'));
    diversion.offer(chunk('b'));
    diversion.end(error);
    diversion.end(new Error('a later reason'));
    await next();
    t.strictSame(taken, ['a', 'b']);
    const settled = error === null ? diversion.ended : t.rejects(diversion.ended, { message: 'reset' });
    await next();
    await settled;
  }
});

t.test('an error of the taker is the error of the diversion, and no chunk follows', async (t) => {
  const thrown = divert(() => {
    throw new Error('full');
  });
  t.notOk(thrown.diversion.offer(chunk('a')));
  await t.rejects(thrown.diversion.ended, { message: 'full' });
  const { take, taken, fail } = slowTaker();
  const later = divert(take);
  later.diversion.offer(chunk('a'));
  later.diversion.offer(chunk('b'));
  const rejected = t.rejects(later.diversion.ended, { message: 'full' });
  await fail(new Error('full'));
  await rejected;
  t.notOk(later.diversion.offer(chunk('c')));
  t.strictSame(taken, ['a']);
});
