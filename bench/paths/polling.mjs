import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker as Thread } from 'node:worker_threads';
import { startFastifyApp } from '../baselines/servers.mjs';
import { Connection, requestHead } from '../connection.mjs';
import { freshContent } from '../content.mjs';
import { cpuSeconds, cpuSecondsOfThreads } from '../cpu_time.mjs';
import { percentile } from '../statistics.mjs';
import { Worker } from '../worker.mjs';

const pollers = 1000;
const fewShards = 100;
const concurrentCommits = 16;

/** Pages that show the overview while a shard changes. */
const pages = 16;
const changes = 50;
const changePeriodMs = 100;

/**
 * A thousand connections that poll a worker with 100 shards: each once a second, each with a long poll, and each with a
 * long poll that a change ends. Then `ready` with many shards. @param {import('../bench.mjs').Context} context
 */
export async function polling({ options, workspace }) {
  const content = freshContent(workspace.models, 'polling', 4096);
  const worker = await Worker.start(workspace, { CUDA_SIM_DEVICES: '32GiB', WORKER_SCRUB_SECONDS: '0' });
  await commitAll(worker, content.name, 0, fewShards);
  const rows = await pollRows(worker, workspace, Math.max(2, Math.ceil(options.loadSeconds)));
  await commitAll(worker, content.name, fewShards, options.manyShards);
  rows.push(...(await manyShardsRows(worker, options.manyShards)));
  await worker.stop();
  return rows;
}

/** The connections of all pollers to one server, and what they ask. */
class Pollers {
  static async open(server, etag) {
    const open = () => Connection.open(server.url);
    return new Pollers(server, await Promise.all(Array.from({ length: pollers }, open)), etag);
  }

  constructor(server, clients, etag) {
    this.server = server;
    this.clients = clients;
    this.etag = etag;
  }

  /** Each client polls once a second. @returns {Promise<{ cpuMicroseconds: number, p50Ms: number, p99Ms: number }>} per poll */
  async eachSecond(seconds) {
    const latenciesMs = [];
    const poll = async (client, index) => {
      await sleep((index * 1000) / pollers);
      for (let round = 0; round < seconds; round++) {
        const sentMs = performance.now();
        await ask(this.server, client, '/v1/ready', { status: 304, etag: this.etag });
        latenciesMs.push(performance.now() - sentMs);
        await sleep(Math.max(0, sentMs + 1000 - performance.now()));
      }
    };
    const before = cpuSeconds(this.server.pid);
    await Promise.all(this.clients.map(poll));
    const cpuMicroseconds = ((cpuSeconds(this.server.pid) - before) * 1e6) / latenciesMs.length;
    return { cpuMicroseconds, p50Ms: percentile(latenciesMs, 0.5), p99Ms: percentile(latenciesMs, 0.99) };
  }

  wait(seconds, status) {
    const path = `/v1/ready?wait_seconds=${seconds}`;
    return this.clients.map((client) => ask(this.server, client, path, { status, etag: this.etag }));
  }

  close() {
    for (const client of this.clients) client.close();
  }
}

async function pollRows(worker, workspace, seconds) {
  const first = await Connection.open(worker.url);
  const answer = await ask(worker, first, '/v1/ready', { status: 200 });
  first.close();
  const etag = /\r\netag: *(\S+)/i.exec(answer.head)?.[1] ?? '';
  const app = await startFastifyApp(workspace.make('fastify'), answer.body(), etag);
  const ofApp = await Pollers.open({ ...app, authorization: worker.authorization }, etag);
  const ofWorker = await Pollers.open(worker, etag);
  const samples = { product: [], app: [] };
  for (const [name, each] of [
    ['warm-up', ofApp],
    ['warm-up', ofWorker],
    ['app', ofApp],
    ['product', ofWorker],
  ]) {
    samples[name] = await each.eachSecond(seconds);
  }
  ofApp.close();
  await app.stop();

  // Not counted: the first thousand also compile the code of a wait.
  await Promise.all(ofWorker.wait(1, 304));
  const before = cpuSeconds(worker.pid);
  await Promise.all(ofWorker.wait(seconds, 304));
  const usedSeconds = cpuSeconds(worker.pid) - before;
  const waited = await during(worker, () => Promise.all(ofWorker.wait(seconds, 304)));
  const idle = await idleCores(worker, ofWorker, seconds);
  let changedMs = 0;
  const changed = await during(worker, async () => {
    const answers = ofWorker.wait(60, 200);
    await sleep(1000);
    await worker.verify('polling-0');
    const sentMs = performance.now();
    await Promise.all(answers);
    changedMs = performance.now() - sentMs;
  });
  ofWorker.close();
  const compared = (path, unit, key) => ({
    ...row(`${pollers} clients, a 304 each second: ${path}`, unit, samples.product[key]),
    baseline: 'Fastify app, same plugins, same bytes',
    baselineSeries: { unit, samples: [samples.app[key]] },
  });
  return [
    compared('CPU time a poll', 'µs', 'cpuMicroseconds'),
    compared('p50', 'ms', 'p50Ms'),
    compared('p99', 'ms', 'p99Ms'),
    row(`${pollers} long polls of ${seconds} s: CPU time a poll`, 'µs', (usedSeconds * 1e6) / pollers),
    row('the same: GET /livez, p99', 'ms', waited.p99Ms),
    row(`${pollers} long polls that wait: CPU time`, '% of a core', idle * 100),
    row(`${pollers} long polls, from a change to the last answer`, 'ms', changedMs),
    row('the same: GET /livez, p99', 'ms', changed.p99Ms),
  ];
}

/** The share of a core that the worker uses while all clients wait. */
async function idleCores(worker, clients, seconds) {
  const answers = clients.wait(seconds + 2, 304);
  await sleep(1000);
  const before = cpuSecondsOfThreads(worker.pid);
  await sleep(seconds * 1000);
  const used = cpuSecondsOfThreads(worker.pid) - before;
  await Promise.all(answers);
  return used / seconds;
}

async function manyShardsRows(worker, count) {
  const client = await Connection.open(worker.url);
  const latenciesMs = [];
  await ask(worker, client, '/v1/ready?handles=false', { status: 200 });
  for (let round = 0; round < 1000; round++, await sleep(1)) {
    const sentMs = performance.now();
    await ask(worker, client, '/v1/ready?handles=false', { status: 200 });
    latenciesMs.push(performance.now() - sentMs);
  }
  const listed = await during(worker, async () => {
    for (let round = 0; round < 20; round++) {
      await worker.verify('polling-0');
      await ask(worker, client, '/v1/ready', { status: 200 });
    }
  });
  client.close();
  const watched = await during(worker, () => watchPages(worker));
  return [
    { ...row(`ready?handles=false with ${count} shards, p99`, 'ms', percentile(latenciesMs, 0.99)), required: 2 },
    row(`GET /livez, p99, while a client reads ${count} handles after each change`, 'ms', listed.p99Ms),
    row(
      `GET /livez, p99, while ${pages} pages show ${count} shards, and one changes 10 times a second`,
      'ms',
      watched.p99Ms,
    ),
  ];
}

/** Pages read the overview after each of its changes, by long polls. */
async function watchPages(worker) {
  let isOver = false;
  const watch = async () => {
    const client = await Connection.open(worker.url);
    for (let etag; !isOver; ) {
      const headers = { authorization: worker.authorization, ...(etag === undefined ? {} : { 'if-none-match': etag }) };
      const { status, head } = await client.exchange(requestHead('GET', '/v1/overview?wait_seconds=1', headers));
      assert.ok(status === 200 || status === 304);
      etag = /\r\netag: *(\S+)/i.exec(head)?.[1];
    }
    client.close();
  };
  const watching = Array.from({ length: pages }, watch);
  for (let change = 0; change < changes; change++) {
    await worker.verify('polling-0');
    await sleep(changePeriodMs);
  }
  isOver = true;
  await Promise.all(watching);
}

const row = (path, unit, sample) => ({ path, better: 'lower', product: { unit, samples: [sample] } });

async function ask({ authorization }, client, path, { status, etag }) {
  const condition = etag === undefined ? {} : { 'if-none-match': etag };
  const answer = await client.exchange(requestHead('GET', path, { authorization, ...condition }));
  assert.equal(answer.status, status);
  return answer;
}

/** The latency of `livez` during some work. Another thread measures it. */
async function during(worker, work) {
  const thread = new Thread(new URL('../livez_thread.mjs', import.meta.url), {
    workerData: { url: worker.url, perSecond: 100 },
  });
  await once(thread, 'message');
  await work();
  thread.postMessage('stop');
  const [latenciesMs] = await once(thread, 'message');
  return { p99Ms: percentile(latenciesMs, 0.99) };
}

/** Commits shards of one model. */
async function commitAll({ url, authorization }, path, from, to) {
  let next = from;
  const commit = async () => {
    for (let index = next++; index < to; index = next++) {
      const shard = { shard_id: `polling-${index}`, model_ref: 'polling', source: { type: 'file', path } };
      const headers = { authorization, 'content-type': 'application/json' };
      const answer = await fetch(`${url}/v1/commit`, { method: 'POST', headers, body: JSON.stringify(shard) });
      assert.equal(answer.status, 201, await answer.text());
    }
  };
  await Promise.all(Array.from({ length: concurrentCommits }, commit));
}
