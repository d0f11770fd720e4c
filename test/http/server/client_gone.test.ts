import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Shard } from '../../../src/residency/state/shard.js';
import { nextSlice } from '../../../src/residency/state/time_slices.js';
import { readChain } from '../../support/audit.js';
import { patternBytes } from '../../support/bytes.js';
import { Authority } from '../../support/certificates.js';
import { head, RawClient } from '../../support/raw_http.js';
import { availableBytes, get, mebibyte, remove, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const bytes = patternBytes(8 * mebibyte);
const put = (id: string, declared = bytes.length) =>
  head(`PUT /v1/commit?shard_id=${id}&model_ref=m`, { 'Content-Length': declared });

const isGone = (worker: TestWorker, id: string) => async () =>
  (await get(worker, `/v1/shards/${id}`)).statusCode === 404;
const isHere = (worker: TestWorker, id: string) => async () =>
  (await get(worker, `/v1/shards/${id}`)).statusCode === 200;

t.test('a client that disconnects while its commit waits for a slot leaves no shard', async (t) => {
  const worker = await startWorker(t, { listen: true, env: { WORKER_COMMIT_SLOTS: '1' } });
  const before = await availableBytes(worker);
  const first = new RawClient(worker.url).send(put('first')).send(bytes.subarray(0, mebibyte));
  await until(isHere(worker, 'first'));
  for (const sent of [0, 4096]) {
    const second = new RawClient(worker.url).send(put('second')).send(bytes.subarray(0, sent));
    await until(isHere(worker, 'second'));
    second.leave();
    await until(isGone(worker, 'second'));
  }
  t.equal((await get(worker, '/v1/shards/first')).json().state, 'receiving', 'the other upload continues');
  first.send(bytes.subarray(mebibyte));
  t.match(await first.until(/"handle"/), /201 Created/);
  await remove(worker, '/v1/shards/first');
  t.same(await availableBytes(worker), before);
  first.leave();
});

t.test('a disconnect behind a large unread body is detected when the commit gets its slot', async (t) => {
  const worker = await startWorker(t, { listen: true, env: { WORKER_COMMIT_SLOTS: '1' } });
  const before = await availableBytes(worker);
  const first = new RawClient(worker.url).send(put('first')).send(bytes.subarray(0, mebibyte));
  await until(isHere(worker, 'first'));
  const declared = 24 * mebibyte;
  const second = new RawClient(worker.url).send(put('second', declared)).send(Buffer.alloc(declared - 1));
  await until(isHere(worker, 'second'));
  second.leave();
  first.reset();
  await until(isGone(worker, 'second'));
  t.same(await availableBytes(worker), before);
});

t.test('a client that waits for a slot gets no 1xx response', async (t) => {
  const worker = await startWorker(t, { listen: true, env: { WORKER_COMMIT_SLOTS: '1' } });
  const first = new RawClient(worker.url).send(put('first')).send(bytes.subarray(0, mebibyte));
  await until(isHere(worker, 'first'));
  const second = new RawClient(worker.url).send(put('second')).send(bytes);
  await until(isHere(worker, 'second'));
  // Longer than the period of the probe.
  await sleep(1300);
  t.equal(second.heard, '', 'some clients take a 1xx for the final response');
  first.send(bytes.subarray(mebibyte));
  t.match(await second.until(/"handle"/), /^HTTP\/1\.1 201 Created/);
  await Promise.all([first.leave(), second.leave()]);
});

t.test('a client that disconnects anywhere in its body leaves no shard', async (t) => {
  const worker = await startWorker(t, { listen: true });
  const before = await availableBytes(worker);
  for (const sent of [0, 1, mebibyte - 1, mebibyte, 3 * mebibyte + 7, bytes.length - 1]) {
    const client = new RawClient(worker.url).send(put('a')).send(bytes.subarray(0, sent));
    await until(isHere(worker, 'a'));
    client.leave();
    await until(isGone(worker, 'a'));
    t.same(await availableBytes(worker), before, `after ${sent} bytes`);
  }
  t.equal((await upload(worker, 'a', bytes)).statusCode, 201, 'the same upload can be retried');
});

/** Calls `leave`, whose client leaves in the middle of a commit, while the device is held. Checks that no shard is left. */
async function leavesNoShard(t: Test, worker: TestWorker, leave: () => Promise<unknown>): Promise<void> {
  const before = await availableBytes(worker);
  await leave();
  await until(async () => (await openConnections(worker)) === 0);
  t.equal((await get(worker, '/v1/shards/a')).statusCode, 200, 'the commit is in progress');
  simulator.latencyUs(0);
  await until(isGone(worker, 'a'));
  t.same(await availableBytes(worker), before);
}

const openConnections = ({ app }: TestWorker) =>
  new Promise<number>((resolve, reject) => {
    app.server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });

/** A worker with a file, and a request to commit that. */
async function startWithFile(t: Test): Promise<{ worker: TestWorker; request: string }> {
  const directory = t.testdir({});
  writeFileSync(join(directory, 'model'), bytes);
  const worker = await startWorker(t, { listen: true, env: { WORKER_MODEL_DIR: directory } });
  t.teardown(() => simulator.reset());
  const body = JSON.stringify({ shard_id: 'a', model_ref: 'm', source: { type: 'file', path: 'model' } });
  const headers = { 'Content-Type': 'application/json', 'Content-Length': body.length };
  return { worker, request: head('POST /v1/commit', headers) + body };
}

t.test('a client that disconnects during a commit by reference leaves no shard', onSimulator, async (t) => {
  const { worker, request } = await startWithFile(t);
  // The device waits until the latency changes.
  simulator.latencyUs(60_000_000);
  await leavesNoShard(t, worker, async () => {
    const client = new RawClient(worker.url).send(request);
    await until(isHere(worker, 'a'));
    await client.leave();
  });
});

t.test('a client that disconnects while its shard is sealed leaves no shard', onSimulator, async (t) => {
  const { worker, request } = await startWithFile(t);
  const { beginSealing } = Shard.prototype;
  t.intercept(Shard.prototype, 'beginSealing', {
    value: function (this: Shard, ...args: Parameters<typeof beginSealing>) {
      simulator.latencyUs(60_000_000);
      return beginSealing.apply(this, args);
    },
  });
  const isSealing = async () => (await get(worker, '/v1/shards/a')).json().state === 'sealing';
  for (const sent of [put('a') + bytes.toString('latin1'), request]) {
    for (const manner of ['leave', 'reset'] as const) {
      t.comment(`${sent.slice(0, 4)} ${manner}`);
      await leavesNoShard(t, worker, async () => {
        const client = new RawClient(worker.url).send(Buffer.from(sent, 'latin1'));
        await until(isSealing);
        await client[manner]();
      });
    }
  }
});

t.test('a client that half-closes after the body gets its response', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true });
  simulator.latencyUs(20_000);
  t.teardown(() => simulator.reset());
  const client = new RawClient(worker.url).send(put('a')).send(bytes).finish();
  t.match(await client.whole(), /HTTP\/1\.1 201 Created.*"handle"/s);
  simulator.latencyUs(0);
  t.equal((await get(worker, '/v1/shards/a')).json().state, 'sealed');
  const short = new RawClient(worker.url).send(head('GET /v1/ready')).finish();
  t.match(await short.whole(), /^HTTP\/1\.1 200 OK.*"ready":true/s);
});

t.test('a client that half-closes during the body leaves no shard', async (t) => {
  const worker = await startWorker(t, { listen: true });
  const before = await availableBytes(worker);
  for (const sent of [0, 1, mebibyte, bytes.length - 1]) {
    const client = new RawClient(worker.url).send(put('a')).send(bytes.subarray(0, sent)).finish();
    t.notMatch(await client.whole(), / 201 /);
    await until(isGone(worker, 'a'));
    t.same(await availableBytes(worker), before, `after ${sent} bytes`);
  }
});

/** Fills the turns of the event loop, so that requests for long polls wait. Returns the function that ends this. */
function fillTurns(): () => void {
  let isFilling = true;
  const work = () => {
    for (const endMs = performance.now() + 5; isFilling && performance.now() < endMs; );
  };
  for (let turn = 0; turn < 4000; turn++) void nextSlice().then(work);
  return () => {
    isFilling = false;
  };
}

t.test('a long poll whose client leaves before its turn is dropped: its address is not known any more', async (t) => {
  const authority = new Authority(t);
  const { certFile, keyFile } = authority.issue('worker');
  const path = join(temporaryDirectory(t), 'audit.log');
  const env = { WORKER_TLS_CERT_FILE: certFile, WORKER_TLS_KEY_FILE: keyFile, WORKER_AUDIT_LOG: path };
  const { url, app } = await startWorker(t, { listen: true, env });
  const trust = { ca: authority.certificate.cert };
  const client = new RawClient(url, trust).send(head('GET /livez'));
  await client.until(/ 200 OK/);
  const poll = head('GET /v1/ready?wait_seconds=1', { Authorization: undefined });
  const release = fillTurns();
  const arrived: Promise<IncomingMessage[]> = once(app.server, 'request');
  client.send(poll);
  const [request] = await arrived;
  const left = new Promise((resolve) => request?.socket.once('close', resolve));
  await client.leave();
  await left;
  release();
  const other = new RawClient(url, trust).send(poll);
  await other.until(/ 401 /);
  await other.leave();
  const failures = () => readChain(path).filter(({ event }) => event === 'AuthFailed');
  await until(() => failures().length > 0);
  t.same(
    failures().map(({ remote_address }) => remote_address),
    ['127.0.0.1'],
  );
});
