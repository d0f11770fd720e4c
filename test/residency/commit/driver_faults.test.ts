import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { availableBytes, get, post, remove, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { startWorker } from '../../support/worker.js';

const bytes = patternBytes(600_000);
const illegalAddress = 700;
const unknown = 999;

t.afterEach(() => simulator.reset());

t.test(
  'whichever driver call fails during a commit, nothing is left and the next commit works',
  onSimulator,
  async (t) => {
    const worker = await startWorker(t);
    const before = await availableBytes(worker);
    const live = simulator.live('*');
    simulator.reset();
    t.equal((await upload(worker, 'probe', bytes)).statusCode, 201);
    const count = simulator.calls('*');
    await remove(worker, '/v1/shards/probe');
    t.ok(count > 20, `${count} calls to fail`);
    for (let nth = 1; nth <= count; nth++) {
      simulator.faults(`*:${nth}=${unknown}`);
      const answer = await upload(worker, 'a', bytes);
      simulator.faults('');
      if (answer.statusCode === 201) {
        t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204, `call ${nth} was one that may fail`);
      } else {
        t.match(answer.json(), { status: 500, code: 'CUDA_ERROR' }, `call ${nth}`);
      }
      t.equal((await get(worker, '/v1/shards/a')).statusCode, 404, `call ${nth}: no shard`);
      t.same(await availableBytes(worker), before, `call ${nth}: no memory`);
      t.equal(simulator.live('*'), live, `call ${nth}: nothing of the driver's`);
    }
  },
);

t.test('a driver that has no room after all is VRAM_OOM', onSimulator, async (t) => {
  const worker = await startWorker(t);
  simulator.faults('cuMemCreate:1=2');
  t.match((await upload(worker, 'a', bytes)).json(), { status: 507, code: 'VRAM_OOM' });
  t.equal((await upload(worker, 'a', bytes)).statusCode, 201);
});

t.test('memory that can not be freed stays listed and can be released later', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  await upload(worker, 'a', bytes);
  simulator.faults(`cuMemUnmap:1+=${unknown}`);
  t.match((await remove(worker, '/v1/shards/a')).json(), { status: 500, code: 'CUDA_ERROR' });
  t.equal((await get(worker, '/v1/shards/a')).json().state, 'releasing');
  t.match((await upload(worker, 'a', bytes)).json(), { status: 409, code: 'SHARD_BUSY' });
  simulator.faults('');
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  t.same(await availableBytes(worker), before);
});

t.test('each spoof about the memory is refused, at the commit and at a verification', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  const spoofs = [
    'memory_type=1',
    'is_managed=1',
    'ordinal=1',
    'host_pointer=1',
    'location_type=0',
    'location_id=1',
    'access=3',
    'foreign_access=1',
  ];
  for (const spoof of spoofs) {
    simulator.spoofs(spoof);
    const refused = await upload(worker, 'a', bytes);
    t.match(refused.json(), { status: 422, code: 'POLICY_VIOLATION', retriable: false }, spoof);
    simulator.spoofs('');
    t.same(await availableBytes(worker), before, `${spoof}: nothing is left`);

    t.equal((await upload(worker, 'b', bytes)).statusCode, 201);
    simulator.spoofs(spoof);
    const report = (await post(worker, '/v1/shards/b/verify')).json();
    t.match(report, { verified: false, checks: { signature: true, residency: false, tree_digest: true } }, spoof);
    simulator.spoofs('');
    t.equal((await get(worker, '/v1/shards/b')).json().state, 'corrupt');
    await remove(worker, '/v1/shards/b');
  }
});

t.test('a shard that could not be verified in time is a reason not to be ready', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', bytes);
  await new Promise((resolve) => setTimeout(resolve, 1100));
  simulator.faults(`cuLaunchKernel:1+=${unknown}`);
  const refused = await get(worker, '/v1/ready?max_age_seconds=1&nonce=n');
  t.equal(refused.statusCode, 503);
  t.match(refused.json(), { ready: false, reasons: [{ code: 'VERIFICATION_FAILED' }] });
  const [, payload = ''] = refused.json().attestation.split('.');
  t.match(JSON.parse(Buffer.from(payload, 'base64url').toString()), { ready: false });
  simulator.faults('');
  t.equal((await get(worker, '/v1/ready?max_age_seconds=1')).statusCode, 200);
});

t.test('a lost context ends the worker', onSimulator, async (t) => {
  let lost: Error | undefined;
  const worker = await startWorker(t, {
    onLost: (error) => {
      lost = error;
    },
  });
  await upload(worker, 'a', bytes);
  simulator.faults(`cuLaunchKernel:1+=${illegalAddress}`);
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { status: 500, code: 'CUDA_ERROR' });
  t.match(lost, { code: 'CUDA_ERROR' });
  t.match((await get(worker, '/v1/ready')).json(), { ready: false, state: 'stopped' });
});
