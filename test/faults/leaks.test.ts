import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { patternBytes } from '../support/bytes.js';
import { tests } from '../support/paths.js';
import { temporaryDirectory } from '../support/process.js';
import { mebibyte } from '../support/requests.js';
import { onSimulator } from '../support/simulator.js';
import { token } from '../support/worker.js';
import { scale } from './scale.js';
import { patient, unlessShed } from './shed.js';

interface Figures {
  readonly ownBytes: number;
  readonly descriptors: number;
  readonly handles: number;
  readonly threads: number;
}

const bytes = patternBytes(16 * mebibyte);

async function startWorker(t: Test): Promise<{ url: string; figures: () => Promise<Figures> }> {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'token'), token, { mode: 0o600 });
  writeFileSync(join(directory, 'shard'), bytes);
  const env = {
    ...patient,
    PATH: process.env.PATH,
    CUDA_SIM_DEVICES: '128MiB,128MiB',
    CUDA_SIM_ENGINE: 'fast',
    WORKER_API_TOKEN_FILE: join(directory, 'token'),
    WORKER_MODEL_DIR: directory,
    WORKER_AUDIT_LOG: join(directory, 'audit.log'),
  };
  const script = join(tests, 'faults', 'leaks', 'worker.mjs');
  const child = fork(script, { cwd: directory, env, execArgv: ['--expose-gc'] });
  t.teardown(() => void child.kill('SIGKILL'));
  const nextMessage = messagesOf(child);
  const url = await nextMessage<string>();
  const figures = () => {
    child.send('figures');
    return nextMessage<Figures>();
  };
  return { url, figures };
}

/** Returns a function that resolves with the next message, and rejects if the process has ended. */
function messagesOf(child: ChildProcess): <T>() => Promise<T> {
  const ended = once(child, 'exit').then(([status, signal]) => {
    throw new Error(`the worker ended with ${status ?? signal}`);
  });
  ended.catch(() => undefined);
  return async () => {
    const [message] = await Promise.race([once(child, 'message'), ended]);
    return message;
  };
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Sends a request to the worker on a new connection. */
function send(method: string, url: string, headers: Record<string, string | number>, body?: Uint8Array) {
  return new Promise<Answer>((resolve, reject) => {
    const all = { authorization: `Bearer ${token}`, connection: 'close', ...headers };
    const sending = request(url, { method, agent: false, headers: all }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      answer.once('end', () => resolve({ status: answer.statusCode ?? 0, body: text }));
    });
    sending.once('error', reject).end(body);
  });
}

/** The growth of the samples over the run, by least squares. */
function slope(samples: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const middle = (samples.length - 1) / 2;
  const average = mean(samples);
  const together = samples.reduce((sum, value, index) => sum + (index - middle) * (value - average), 0);
  const apart = samples.reduce((sum, _, index) => sum + (index - middle) ** 2, 0);
  return (together / apart) * (samples.length - 1);
}

t.test('commits and releases leak no memory, no file descriptor and no driver handle', onSimulator, async (t) => {
  const { url, figures } = await startWorker(t);
  const commits = scale(40, 5000);
  const upload = `${url}/v1/commit?shard_id=a&model_ref=m`;
  const fields = { shard_id: 'a', model_ref: 'm', source: { type: 'file', path: 'shard' } };
  const reference = Buffer.from(JSON.stringify(fields));
  const expect = async (status: number, ...asked: Parameters<typeof send>) => {
    const answer = await unlessShed(
      () => send(...asked),
      ({ body }) => body,
    );
    if (answer.status !== status) t.fail(`${asked[0]} ${asked[1]} was answered ${answer.status}: ${answer.body}`);
  };
  const cycle = async (index: number) => {
    if (index % 2 === 0) await expect(201, 'PUT', upload, { 'content-length': bytes.length }, bytes);
    else await expect(201, 'POST', `${url}/v1/commit`, { 'content-type': 'application/json' }, reference);
    await expect(204, 'DELETE', `${url}/v1/shards/a`, {});
  };

  // The first hundreds of cycles fill caches and compile code, which is not a leak.
  for (let index = 0; index < Math.max(10, commits / 5); index++) await cycle(index);
  const samples = [await figures()];
  for (let index = 1; index <= commits; index++) {
    await cycle(index);
    if (index % Math.ceil(commits / 20) === 0) samples.push(await figures());
  }
  const grown = slope(samples.map(({ ownBytes }) => ownBytes)) / 1e6;
  t.ok(grown < 10, `private memory grew by ${grown.toFixed(1)} MB over ${commits} commits`);
  const spread = (read: (figures: Figures) => number) => {
    const values = samples.map(read);
    return Math.max(...values) - Math.min(...values);
  };
  t.equal(
    spread(({ descriptors }) => descriptors),
    0,
    'file descriptors',
  );
  t.equal(
    spread(({ handles }) => handles),
    0,
    'driver handles',
  );
  t.ok(spread(({ threads }) => threads) <= 2, 'threads, except for those of a pool that start when two jobs meet');
  t.comment(`figure: growth of private memory ${grown.toFixed(1)} MB of 10 MB over ${commits} × 16 MiB`);
});
