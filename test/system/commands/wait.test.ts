import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { freePort } from '../../support/free_port.js';
import { run, startProcess, temporaryDirectory } from '../../support/process.js';
import { until } from '../../support/until.js';

const wait = (t: Test, directory: string, url: string, args: readonly string[]) =>
  run(t, directory, ['wait', '--model-ref', 'm', ...args], { VRAM_WORKER_URL: url });

t.test('it waits for a worker that does not listen yet, and for the model', async (t) => {
  const directory = temporaryDirectory(t);
  // The first worker creates the token, which a secret would provide.
  const first = await startProcess(t, directory);
  first.child.kill('SIGTERM');
  await first.exited;
  const port = await freePort();
  const waiting = wait(t, directory, `http://127.0.0.1:${port}`, []);
  const worker = await startProcess(t, directory, { WORKER_BIND_ADDR: `127.0.0.1:${port}` });
  t.equal(waiting.output(), '', 'it still waits when the worker has no model');
  const headers = { authorization: worker.authorization };
  const commit = `${worker.url}/v1/commit?shard_id=a-0&model_ref=m`;
  t.equal((await fetch(commit, { method: 'PUT', headers, body: patternBytes(5000) })).status, 201);
  t.equal(await waiting.exited, 0);
  t.equal(waiting.output(), 'm  ready  1 shards\n');
  const recent = wait(t, directory, worker.url, ['--timeout', '0', '--max-age-seconds', '60']);
  t.equal(await recent.exited, 0, 'a model that is ready is found at once');
});

t.test('when the time is over, the exit status is 75 and the message says why', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t));
  const asked = wait(t, worker.directory, worker.url, ['--timeout', '4']);
  t.equal(await asked.exited, 75);
  t.match(asked.errors(), /^vram-worker: not ready after 4 s: MODEL_NOT_RESIDENT: /);
  const unreachable = wait(t, worker.directory, `http://127.0.0.1:${await freePort()}`, ['--timeout', '0']);
  t.equal(await unreachable.exited, 75);
  t.match(unreachable.errors(), /not ready after 0 s: .*ECONNREFUSED/);
});

t.test('a worker that refuses the token or the question ends the wait', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t));
  const environment = { VRAM_WORKER_URL: worker.url, VRAM_WORKER_TOKEN: 'x'.repeat(40) };
  t.equal(await run(t, worker.directory, ['wait', '--model-ref', 'm'], environment).exited, 77);
  const invalid = run(t, worker.directory, ['wait', '--model-ref', ''], { VRAM_WORKER_URL: worker.url });
  t.equal(await invalid.exited, 1);
  t.match(invalid.errors(), /INVALID_PARAMS/);
  t.equal(await run(t, worker.directory, ['wait']).exited, 64);
  t.equal(await run(t, worker.directory, ['wait', '--model-ref', 'm', '--timeout', 'x']).exited, 64);
});

t.test('the error page of a proxy is not an answer, and SIGTERM ends the wait', async (t) => {
  let requests = 0;
  const proxy = createServer((_request, response) => {
    requests += 1;
    response.writeHead(503, { 'content-type': 'text/html' }).end('<h1>unavailable</h1>');
  }).listen(0, '127.0.0.1');
  t.teardown(() => proxy.close());
  await new Promise((resolve) => proxy.once('listening', resolve));
  const { port } = proxy.address() as AddressInfo;
  const waiting = wait(t, temporaryDirectory(t), `http://127.0.0.1:${port}`, []);
  await until(() => requests > 1);
  waiting.child.kill('SIGTERM');
  t.equal(await waiting.exited, 143);
  t.equal(waiting.output(), '');
});

/** A server with the answers of a worker, and the queries of its requests. */
async function fakeWorker(t: Test, answer: (query: URLSearchParams, tag: string | undefined) => [number, object]) {
  const queries: string[] = [];
  const server = createServer(({ url = '', headers }, response) => {
    const { searchParams } = new URL(url, 'http://worker');
    queries.push(`${searchParams.has('wait_seconds') ? 'wait ' : ''}${headers['if-none-match'] ?? ''}`.trim());
    const [status, body] = answer(searchParams, headers['if-none-match']);
    const type = status === 400 ? 'application/problem+json' : 'application/json';
    response.writeHead(status, { 'content-type': type, etag: '"1"' }).end(JSON.stringify(body));
  }).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, queries };
}

const notReady = { ready: false, reasons: [{ code: 'NO_MODEL_READY', detail: 'No model' }], models: [] };
const ready = { ready: true, reasons: [], models: [{ model_ref: 'm', resident_shards: 1 }] };
const refusal = {
  code: 'INVALID_PARAMS',
  title: 'Invalid',
  status: 400,
  detail: 'unknown parameter',
  retriable: false,
};

t.test('it waits for a change of the first answer, and polls a worker that refuses to wait', async (t) => {
  const waits = await fakeWorker(t, (_query, tag) => (tag === undefined ? [503, notReady] : [200, ready]));
  t.equal(await wait(t, temporaryDirectory(t), waits.url, []).exited, 0);
  t.same(waits.queries, ['wait', 'wait "1"']);

  let plain = 0;
  const older = await fakeWorker(t, (query) => {
    if (query.has('wait_seconds')) return [400, refusal];
    return ++plain < 2 ? [503, notReady] : [200, ready];
  });
  const asked = wait(t, temporaryDirectory(t), older.url, []);
  t.equal(await asked.exited, 0, asked.errors());
  t.same(older.queries, ['wait', '', '']);

  const aged = await fakeWorker(t, () => [200, ready]);
  t.equal(await wait(t, temporaryDirectory(t), aged.url, ['--max-age-seconds', '5']).exited, 0);
  t.same(aged.queries, ['wait', ''], 'a maximum age is a question of its own');
});
