import { randomInt } from 'node:crypto';
import t, { type Test } from 'tap';
import { patternBytes } from '../support/bytes.js';
import { type Budget, CuttingProxy } from '../support/cutting_proxy.js';
import { availableBytes, get, mebibyte, remove, sha256, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { requireTool, unlessTool } from '../support/tools.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker, token } from '../support/worker.js';
import { scale } from './scale.js';
import { patient } from './shed.js';

process.env.CUDA_SIM_ENGINE = 'fast';

const cuts = scale(25, 200);
const content = patternBytes(6 * mebibyte);
/** On the simulator, and with the client. */
const whole = { ...onSimulator, ...unlessTool('tus-js-client') };
const oneSlot = { ...patient, WORKER_COMMIT_SLOTS: '1', WORKER_COMMIT_QUEUE: '4' };

/** The seed of a run, which a failure prints: `FAULTS_SEED` repeats it. */
const seed = Number(process.env.FAULTS_SEED ?? randomInt(2 ** 31));

function randomNumbers(): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

interface Plan {
  readonly endpoint: string;
  readonly shardId: string;
  readonly bytes: Buffer;
  readonly chunkSize: number;
  readonly withCreation: boolean;
}

/** Uploads with tus-js-client, which resumes until it has succeeded. */
function uploadByClient({ endpoint, shardId, bytes, chunkSize, withCreation }: Plan): Promise<void> {
  const { Upload }: typeof import('tus-js-client') = requireTool('tus-js-client');
  return new Promise((resolve, reject) => {
    new Upload(bytes, {
      endpoint,
      chunkSize,
      uploadDataDuringCreation: withCreation,
      retryDelays: Array.from({ length: 1000 }, () => 1),
      headers: { Authorization: `Bearer ${token}` },
      metadata: { shard_id: shardId, model_ref: 'model', expected_digest: sha256(bytes), filename: 'model.gguf' },
      onSuccess: () => resolve(),
      onError: reject,
    }).start();
  });
}

/** Uploads shards through a proxy until it has cut often enough. */
async function run(t: Test, worker: TestWorker, nextBudget: (random: (below: number) => number) => Budget) {
  const random = randomNumbers();
  let proxy: CuttingProxy | undefined;
  proxy = await CuttingProxy.start(worker.url, () => ((proxy?.cuts ?? 0) < cuts ? nextBudget(random) : {}));
  t.teardown(() => proxy?.close());
  const before = await availableBytes(worker);
  const live = simulator.live('*');
  let sealed = 0;
  for (; proxy.cuts < cuts; sealed++) {
    const bytes = content.subarray(0, 1 + random(content.length));
    const chunkSize = [Number.POSITIVE_INFINITY, 300_000, mebibyte][random(3)] ?? mebibyte;
    const endpoint = `${proxy.url}/v1/uploads`;
    await uploadByClient({ endpoint, shardId: 'a', bytes, chunkSize, withCreation: random(2) === 1 });
    await until(async () => (await get(worker, '/v1/shards/a')).json().sealed, 'the shard is sealed');
    if ((await get(worker, '/v1/shards/a')).json().digest !== sha256(bytes)) t.fail(`wrong digest, seed ${seed}`);
    t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  }
  t.same(await availableBytes(worker), before);
  t.equal(simulator.live('*'), live);
  t.equal(worker.residency.commitsInProgress, 0);
  t.equal((await upload(worker, 'after', content)).statusCode, 201, 'the only commit slot is free');
  t.comment(`figure: cut connections that tus-js-client resumed ${proxy.cuts} of ${cuts}, in ${sealed} uploads`);
}

t.test('an upload whose requests are cut at any byte is sealed with the right digest', whole, async (t) => {
  const worker = await startWorker(t, { listen: true, env: oneSlot });
  await run(t, worker, (random) => ({ toServer: 1 + random(random(4) === 0 ? 1500 : content.length / 2) }));
});

t.test('an upload whose responses are cut at any byte is sealed with the right digest', whole, async (t) => {
  const worker = await startWorker(t, { listen: true, env: oneSlot });
  await run(t, worker, (random) => ({ toClient: 1 + random(700) }));
});
