import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { type ClientRequest, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { verifyLog } from '../../src/audit/verify/verify_log.js';
import { readChain } from '../support/audit.js';
import { patternBytes } from '../support/bytes.js';
import { run, startProcess, temporaryDirectory, type WorkerProcess } from '../support/process.js';
import { until } from '../support/until.js';
import { scale } from './scale.js';

const kills = scale(10, 200);
const body = patternBytes(2 * 1024 * 1024);

/** A running commit, observed by a client. */
interface Commit {
  readonly worker: WorkerProcess;
  readonly sending: ClientRequest;
  /** Waits until the audit log has the event. */
  readonly logged: (event: string) => Promise<void>;
  /** Waits until the shard's snapshot fulfills a condition. */
  readonly shard: (is: (shard: { state: string; received_bytes: number }) => boolean) => Promise<void>;
  readonly answered: () => Promise<void>;
}

const half = body.length / 2;

/** The steps at which the worker is killed. Each function waits until the commit has reached the step. */
const steps: readonly (readonly [name: string, reach: (commit: Commit) => Promise<void>])[] = [
  ['the head is sent', async ({ sending }) => sending.flushHeaders()],
  [
    'memory is allocated',
    async ({ sending, logged }) => {
      sending.flushHeaders();
      await logged('VramAllocated');
    },
  ],
  [
    'half of the body is there',
    async ({ sending, shard }) => {
      sending.write(body.subarray(0, half));
      await shard(({ received_bytes }) => received_bytes > 0);
    },
  ],
  [
    'one byte is missing',
    async ({ sending }) => {
      await new Promise<void>((resolve) => sending.write(body.subarray(0, -1), () => resolve()));
    },
  ],
  [
    'the last byte is sent',
    async ({ sending }) => {
      await new Promise<void>((resolve) => sending.end(body, () => resolve()));
    },
  ],
  [
    'it is being sealed',
    async ({ sending, shard }) => {
      sending.end(body);
      await shard(({ state }) => state === 'sealing' || state === 'sealed');
    },
  ],
  [
    'the seal is on the log',
    async ({ sending, logged }) => {
      sending.end(body);
      await logged('VramSealed');
    },
  ],
  [
    'the client has its handle',
    async ({ sending, answered }) => {
      sending.end(body);
      await answered();
    },
  ],
  [
    'it is being verified',
    async ({ worker, sending, answered }) => {
      sending.end(body);
      await answered();
      void ask(worker, 'POST', '/v1/shards/a/verify').catch(() => undefined);
    },
  ],
  [
    'it is being released',
    async ({ worker, sending, answered, logged }) => {
      sending.end(body);
      await answered();
      void ask(worker, 'DELETE', '/v1/shards/a').catch(() => undefined);
      await logged('VramDeallocated');
    },
  ],
];

interface Acknowledged {
  readonly event: string;
  readonly requestId: string;
}

const acknowledged: Acknowledged[] = [];
const handles: string[] = [];

async function ask(worker: WorkerProcess, method: string, path: string, content?: object) {
  const json = content === undefined ? {} : { 'content-type': 'application/json' };
  const answer = await fetch(worker.url + path, {
    method,
    headers: { authorization: worker.authorization, ...json },
    ...(content === undefined ? {} : { body: JSON.stringify(content) }),
  });
  const requestId = answer.headers.get('x-request-id') ?? '';
  if (answer.ok && method === 'POST' && path.endsWith('a/verify'))
    acknowledged.push({ event: 'SealVerified', requestId });
  if (answer.ok && method === 'DELETE') acknowledged.push({ event: 'VramDeallocated', requestId });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? {} : JSON.parse(text) };
}

/** Starts a commit without sending anything. */
function begin(worker: WorkerProcess, log: string): Commit {
  const from = existsSync(log) ? readFileSync(log).length : 0;
  const sending = request(`${worker.url}/v1/commit?shard_id=a&model_ref=m`, {
    method: 'PUT',
    headers: { authorization: worker.authorization, 'content-length': body.length },
  });
  sending.on('error', () => undefined);
  let done = false;
  sending.on('response', async (answer) => {
    const chunks = await answer.toArray().catch(() => []);
    if (answer.statusCode !== 201 || !answer.complete) return;
    handles.push(JSON.parse(Buffer.concat(chunks).toString()).handle);
    acknowledged.push({ event: 'VramSealed', requestId: String(answer.headers['x-request-id']) });
    done = true;
  });
  return {
    worker,
    sending,
    logged: async (event) => {
      await until(() => readFileSync(log).subarray(from).includes(`"event":"${event}"`), `no ${event}`);
    },
    shard: async (is) => {
      for (;;) {
        const shard = await ask(worker, 'GET', '/v1/shards/a');
        if (shard.status === 200 && is(shard.body)) return;
      }
    },
    answered: async () => {
      await until(() => done, 'no answer');
    },
  };
}

t.test(
  'after kill -9 at any step of a commit, the restart is clean and the log has every acknowledged action',
  async (t) => {
    const directory = temporaryDirectory(t);
    const memory = temporaryDirectory(t);
    const log = join(directory, 'audit.log');
    const env = {
      WORKER_AUDIT_LOG: log,
      CUDA_SIM_DEVICES: '32MiB',
      CUDA_SIM_DIR: memory,
      CUDA_SIM_LATENCY_US: '2000',
    };
    let untouched: object | undefined;
    const killedAt = new Map<string, number>();
    for (let kill = 0; kill < kills; kill++) {
      const worker = await startProcess(t, directory, env);
      const { devices } = (await ask(worker, 'GET', '/v1/devices')).body;
      untouched ??= devices;
      t.same(devices, untouched, 'all memory is available');
      t.notOk(readFileSync(join(memory, 'gpu0-memory.vram')).includes(body.subarray(0, 4096)), 'memory is zeroed');
      t.same((await ask(worker, 'GET', '/v1/shards')).body.shards, [], 'no shard of the previous process exists');
      for (const handle of handles.slice(-3)) {
        const verdict = await ask(worker, 'POST', '/v1/handles/verify', { handle });
        t.match(verdict.body, { valid: false, reason: 'stale_boot' });
      }

      const [name, reach] = steps[kill % steps.length] ?? ['', async () => undefined];
      await reach(begin(worker, log));
      // Later rounds kill the worker a little later after each step.
      await sleep(Math.floor(kill / steps.length) % 8);
      worker.child.kill('SIGKILL');
      t.equal(await worker.exited, 'SIGKILL', name);
      killedAt.set(name, (killedAt.get(name) ?? 0) + 1);

      const torn = kill % 4 === 3;
      if (torn) appendFileSync(log, '{"seq":1,"time":"20');
      t.equal(verifyLog([log], { kept: new Map() }).kind, torn ? 'torn' : 'whole', `killed when ${name}`);
    }
    const last = await startProcess(t, directory, env);
    last.child.kill('SIGTERM');
    t.equal(await last.exited, 0);

    const entries = readChain(log);
    const logged = new Set(entries.map(({ event, request_id }) => `${event} ${request_id}`));
    const missing = acknowledged.filter(({ event, requestId }) => !logged.has(`${event} ${requestId}`));
    t.same(missing, []);
    t.ok(acknowledged.length > 0);
    t.equal(entries.filter(({ event }) => event === 'WorkerStarted').length, kills + 1);
    const verify = run(t, directory, ['audit', 'verify', log, '--key-file', join(directory, '.worker', 'token')]);
    t.equal(await verify.exited, 0, verify.output());
    t.comment(`killed at: ${JSON.stringify(Object.fromEntries(killedAt))}`);
    t.comment(`figure: kill -9 at a step of a commit, clean restart and intact chain, ${kills} of ${kills}`);
    t.comment(`figure: acknowledged actions on the log, ${acknowledged.length} of ${acknowledged.length}`);
  },
);
