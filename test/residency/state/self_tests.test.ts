import t from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { get, sha256, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { startWorker } from '../../support/worker.js';

process.env.CUDA_SIM_DEVICES = '64MiB';

const bytes = patternBytes(1_300_000);
const expected_tree_digest = referenceTreeDigest(bytes);
const outOfMemory = 2;

t.beforeEach(() => simulator.reset());
t.afterEach(() => simulator.reset());

t.test('a device without free memory at start is tested before its first commit', onSimulator, async (t) => {
  const logged: unknown[] = [];
  const log = (...line: unknown[]) => void logged.push(line);
  const worker = await startWorker(t, { residency: { log }, start: false });
  simulator.faults(`cuMemCreate:3=${outOfMemory}`);
  await worker.residency.start();
  t.match(logged, [['warn', /no free memory for its self-test/, { gpu_device: 0 }]]);
  t.equal((await get(worker, '/readyz')).statusCode, 200);
  simulator.reset();
  simulator.spoofs('kernel_output=1');
  const refused = (await upload(worker, 'a', bytes)).json();
  t.match(refused, {
    status: 422,
    code: 'SEAL_VERIFICATION_FAILED',
    detail: /failed its self-test at the step "digest"/,
  });
  t.equal((await get(worker, '/v1/shards/a')).statusCode, 404);
  simulator.reset();
  t.equal((await upload(worker, 'a', bytes)).statusCode, 201);
  t.equal(simulator.calls('cuMemCreate'), 2, 'the test and the shard');
  t.equal((await upload(worker, 'b', bytes)).statusCode, 201);
  t.equal(simulator.calls('cuMemCreate'), 3, 'a device is tested once');
});

t.test('a device that computes wrong digests is never reported as wrong bytes', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const expectations = [
    {},
    { expected_digest: sha256(bytes) },
    { expected_tree_digest },
    { expected_tree_digest, flat_digest: 'false' },
    { expected_digest: sha256(bytes), expected_tree_digest },
  ];
  simulator.spoofs('kernel_output=1');
  for (const expected of expectations) {
    const problem = (await upload(worker, 'a', bytes, expected)).json();
    t.match(problem, { status: 422, code: 'SEAL_VERIFICATION_FAILED' }, JSON.stringify(expected));
  }
  simulator.spoofs('');
  for (const expected of expectations.slice(1)) {
    const problem = (await upload(worker, 'a', patternBytes(1_300_000, 9), expected)).json();
    t.match(problem, { status: 422, code: 'DIGEST_MISMATCH' }, JSON.stringify(expected));
  }
  simulator.faults(`cuMemCreate:2=${outOfMemory}`);
  const untestable = await upload(worker, 'a', patternBytes(1_300_000, 9), { expected_tree_digest });
  t.match(untestable.json(), { status: 422, code: 'SEAL_VERIFICATION_FAILED', detail: /no free memory/ });
});
