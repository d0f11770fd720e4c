import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { patternBytes } from '../support/bytes.js';
import { availableBytes, get, post, remove, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { TusClient, uploadOf } from '../support/tus.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';
import { long } from './scale.js';

// Read by the simulator when the first worker starts. A worker whose driver hangs frees no memory.
process.env.CUDA_SIM_DEVICES = '1GiB';
process.env.CUDA_SIM_ENGINE = 'fast';

const bytes = patternBytes(600_000);
const stride = long ? 1 : 7;

/** Each route that may call the driver. The shard `here` is sealed before each request. */
const routes: Record<string, (worker: TestWorker) => Promise<LightMyRequestResponse>> = {
  'PUT commit': (worker) => upload(worker, 'new', bytes),
  'POST commit, from a file': (worker) =>
    post(worker, '/v1/commit', { shard_id: 'new', model_ref: 'model', source: { type: 'file', path: 'model' } }),
  'PATCH upload, in three requests': async (worker) => {
    const client = new TusClient(worker);
    const created = await client.create(bytes.length, { shard_id: 'new', model_ref: 'model' });
    const url = uploadOf(created);
    await client.send(url, 0, bytes.subarray(0, 100_000));
    await client.send(url, 100_000, bytes.subarray(100_000, 400_000));
    return client.send(url, 400_000, bytes.subarray(400_000));
  },
  'PUT commit, again': (worker) => upload(worker, 'here', bytes),
  'POST verify': (worker) => post(worker, '/v1/shards/here/verify'),
  'DELETE shard': (worker) => remove(worker, '/v1/shards/here'),
  'GET ready': (worker) => get(worker, '/v1/ready?max_age_seconds=1'),
  'GET shards': (worker) => get(worker, '/v1/shards'),
  'GET devices': (worker) => get(worker, '/v1/devices'),
  'GET metrics': (worker) => get(worker, '/metrics'),
  'GET readyz': (worker) => get(worker, '/readyz'),
  'POST plan': (worker) => post(worker, '/v1/plan', { model_ref: 'm', model_bytes: 9, shard_layout: 'single' }),
};

/** The ways in which a driver call fails. */
const faults = {
  once: (nth: number) => `*:${nth}=999`,
  permanently: (nth: number) => `*:${nth}+=999`,
  'with a sticky error': (nth: number) => `*:${nth}=700`,
} as const;

async function fresh(t: Test): Promise<{ worker: TestWorker; losses: Error[] }> {
  const directory = t.testdirName;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'model'), bytes);
  const losses: Error[] = [];
  const onLost = (error: Error) => void losses.push(error);
  const env = { WORKER_MODEL_DIR: directory, WORKER_DRIVER_TIMEOUT_SECONDS: '1' };
  const worker = await startWorker(t, { onLost, env });
  return { worker, losses };
}

/** Whether an answer is permitted when a driver call fails. */
function isTyped({ statusCode, body }: LightMyRequestResponse): boolean {
  if (statusCode < 300 || statusCode === 304) return true;
  return /"code":"(CUDA_ERROR|VERIFICATION_FAILED|STOPPED)"/.test(body);
}

const live = () => simulator.live('*');

const freeBytes = (worker: TestWorker) => availableBytes(worker).then(String, () => 'none: the driver is lost');

/** Restores the state before the request: `here` is sealed, `new` does not exist. */
async function settle(worker: TestWorker): Promise<void> {
  for (const id of ['here', 'new']) await remove(worker, `/v1/shards/${id}`);
  await upload(worker, 'here', bytes);
}

for (const [route, ask] of Object.entries(routes)) {
  t.test(`${route}: a failure of any driver call gets a typed answer and leaks no memory`, onSimulator, async (t) => {
    const nothing = live();
    let { worker, losses } = await fresh(t);
    await settle(worker);
    const before = await freeBytes(worker);
    // `ready` verifies a shard again if its last verification is more than a second old.
    const age = () => (route === 'GET ready' ? new Promise((resolve) => setTimeout(resolve, 1050)) : undefined);
    await age();
    simulator.reset();
    await ask(worker);
    // A route that does not call the driver gets one request with a failing driver.
    const calls = Math.max(1, simulator.calls('*'));
    await settle(worker);

    let [cases, typed] = [0, 0];
    for (const [manner, fault] of Object.entries(faults)) {
      for (let nth = 1; nth <= calls; nth += route === 'GET ready' && !long ? calls : stride) {
        await age();
        simulator.faults(fault(nth));
        const answer = await ask(worker);
        simulator.reset();
        cases++;
        if (isTyped(answer)) typed++;
        else t.fail(`${manner}, call ${nth}: ${answer.statusCode} ${answer.body}`);
        await settle(worker);
        // The worker retries a failed release every second.
        await until(async () => worker.residency.isLost || (await freeBytes(worker)) === before, 'memory is not free');
        if (!worker.residency.isLost) continue;
        if (losses.length !== 1) t.equal(losses.length, 1, 'a driver loss is reported once');
        await worker.stop();
        if (live() !== nothing) t.equal(live(), nothing, `${manner}, call ${nth}: the driver has all memory back`);
        ({ worker, losses } = await fresh(t));
        await settle(worker);
      }
    }
    await worker.stop();
    t.equal(live(), nothing, 'the driver has all memory back');
    t.equal(typed, cases);
    t.comment(`figure: ${route}, driver failures with a permitted answer ${typed} of ${cases}`);
  });
}
