import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { patternBytes } from '../support/bytes.js';
import { startProcess, temporaryDirectory } from '../support/process.js';
import { head, RawClient } from '../support/raw_http.js';
import { long, scale } from './scale.js';

const slowHeads = scale(100, 1000);
const slowBodies = scale(50, 500);
/** The long form uses the worker's defaults. */
const headSeconds = long ? 15 : 2;
const idleSeconds = long ? 30 : 2;
const bodyBytes = 1_000_000;

interface Slow {
  readonly client: RawClient;
  readonly deadlineMs: number;
  closedMs: number;
}

/** A client that sends very slowly until the worker disconnects it. */
function slow(url: string, first: string, more: string, deadlineSeconds: number): Slow {
  const from = performance.now();
  const client = new RawClient(url).send(first);
  const one: Slow = { client, deadlineMs: deadlineSeconds * 1000, closedMs: Number.POSITIVE_INFINITY };
  const trickle = setInterval(() => client.send(more), 500);
  void client.closed.then(() => {
    clearInterval(trickle);
    one.closedMs = performance.now() - from;
  });
  return one;
}

/** Requests `ready`. Returns the status and the time in ms. */
function poll(url: string, authorization: string, agent: Agent): Promise<{ status: number; ms: number }> {
  return new Promise((resolve, reject) => {
    const from = performance.now();
    const asking = request(`${url}/v1/ready`, { agent, headers: { authorization } }, (response) => {
      response.resume();
      response.once('end', () => resolve({ status: response.statusCode ?? 0, ms: performance.now() - from }));
    });
    asking.once('error', reject);
    asking.end();
  });
}

t.test('pollers get answers during slow requests, and every slow request times out', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t), {
    WORKER_HEADERS_TIMEOUT_SECONDS: String(headSeconds),
    WORKER_UPLOAD_IDLE_SECONDS: String(idleSeconds),
    WORKER_LOG_LEVEL: 'warn',
    CUDA_SIM_DEVICES: '2GiB,2GiB',
  });
  const { url, authorization } = worker;
  const commit = `${url}/v1/commit?shard_id=steady&model_ref=steady`;
  await fetch(commit, { method: 'PUT', headers: { authorization }, body: patternBytes(100_000) });

  const clients: Slow[] = [];
  for (let index = 0; index < slowHeads; index++) {
    clients.push(slow(url, head('GET /v1/ready').slice(0, -2), 'X-Slow: 1\r\n', headSeconds * 1.5));
    if (index % 50 === 49) await sleep(10);
  }
  for (let index = 0; index < slowBodies; index++) {
    const headers = { 'Content-Length': bodyBytes, Authorization: authorization };
    const target = `PUT /v1/commit?shard_id=slow-${index}&model_ref=slow`;
    // The stall timer may run while the upload waits, and again in its slot. Then the client has time to read the answer.
    clients.push(slow(url, head(target, headers), 'x', idleSeconds * 2.5 + 2));
    if (index % 50 === 49) await sleep(10);
  }

  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  const fresh = new Agent({ keepAlive: false });
  t.teardown(() => kept.destroy());
  const polls: { status: number; ms: number }[] = [];
  const isOpen = ({ closedMs }: Slow) => closedMs === Number.POSITIVE_INFINITY;
  while (clients.some(isOpen)) {
    polls.push(await poll(url, authorization, polls.length % 2 === 0 ? kept : fresh));
    await sleep(10);
  }

  const answered = polls.filter(({ status }) => status === 200).length;
  const times = polls.map(({ ms }) => ms).sort((a, b) => a - b);
  const p99 = times[Math.floor(times.length * 0.99)]?.toFixed(1);
  const inTime = clients.filter(({ closedMs, deadlineMs }) => closedMs <= deadlineMs).length;
  t.equal(answered, polls.length, 'ready is always 200');
  t.comment(
    `figure: ready answered 200 with ${slowHeads} slow heads and ${slowBodies} slow bodies ${answered} of ${polls.length}, p99 ${p99} ms`,
  );
  t.comment(`figure: slow clients disconnected in time ${inTime} of ${clients.length}`);
  const unanswered = clients.filter(({ client }) => !/HTTP\/1\.1 (408|429) /.test(client.heard));
  t.same(
    new Set(unanswered.map(({ client }) => client.heard.slice(-100))),
    new Set(),
    'each client got an answer with the reason',
  );
  const left = await fetch(`${url}/v1/shards`, { headers: { authorization } });
  const { shards } = (await left.json()) as { shards: { shard_id: string }[] };
  t.same(
    shards.map(({ shard_id }) => shard_id),
    ['steady'],
    'no slow upload left a shard',
  );
});
