import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { FileCalls, FileTimeoutError } from '../../src/storage/file_calls.js';
import { until } from '../support/until.js';

/** A call that returns when the test says so. */
function hangingCall<T>() {
  let end: (result: T) => void = () => undefined;
  const call = new Promise<T>((resolve) => {
    end = resolve;
  });
  return { call: () => call, end: (result: T) => end(result) };
}

t.test(
  'a call that hangs fails by the deadline with the name of its file, and further calls fail at once',
  async (t) => {
    const files = new FileCalls(0.05);
    const { call, end } = hangingCall<string>();
    const problem = { name: 'FileTimeoutError', message: 'X: its file system did not respond within 0.05 seconds' };
    await t.rejects(files.run('X', call), problem);
    let began = 0;
    const next = () => files.run('Y', async () => ++began);
    await t.rejects(next(), problem, 'the first file that hangs is named');
    t.equal(began, 0, 'no call begins while one hangs');
    end('late');
    await until(async () => (await next().catch(() => undefined)) === 1, 'calls run again once it returned');
  },
);

t.test('a call whose time is over does not begin', async (t) => {
  const files = new FileCalls(1);
  let began = 0;
  await t.rejects(
    files.run('X', async () => ++began, 1000),
    FileTimeoutError,
  );
  t.equal(began, 0);
});

t.test('the bytes of a call that returns too late are wiped', async (t) => {
  const files = new FileCalls(0.02);
  const { call, end } = hangingCall<Buffer>();
  await t.rejects(files.run('X', call), FileTimeoutError);
  const secret = Buffer.from('secret');
  end(secret);
  await until(() => secret.equals(Buffer.alloc(6)));
});

t.test('results and errors in time pass through', async (t) => {
  const files = new FileCalls(30);
  t.equal(await files.run('X', () => sleep(50, 'text')), 'text');
  await t.rejects(
    files.run('X', () => Promise.reject(new Error('no'))),
    { message: 'no' },
  );
  t.equal(await files.run('X', async () => 'text'), 'text');
});
