import { EventEmitter, once } from 'node:events';
import t, { type Test } from 'tap';
import { DriverHealth } from '../../../src/residency/state/driver_health.js';
import { patternBytes } from '../../support/bytes.js';
import { get, post, remove, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker, type WorkerOptions } from '../../support/worker.js';

// The simulator reads its settings when the first worker starts. A lost driver frees no memory.
process.env.CUDA_SIM_DEVICES = '512MiB';

const bytes = patternBytes(600_000);
const cudaError = { status: 500, code: 'CUDA_ERROR', retriable: true };

t.afterEach(() => simulator.reset());

/** A worker with a sealed shard. `lost` resolves with the error that lost its driver; `losses` has each report. */
async function startWithShard(t: Test, options: WorkerOptions = {}) {
  const losses: Error[] = [];
  const events = new EventEmitter();
  const lost = once(events, 'lost').then(([error]): Error => error);
  const onLost = (error: Error) => {
    losses.push(error);
    events.emit('lost', error);
  };
  const worker = await startWorker(t, { listen: true, ...options, onLost });
  const sealed = (await upload(worker, 'sealed', bytes)).json();
  return { worker, lost, losses, handle: sealed.handle as string };
}

/** Checks the answers of a worker whose driver is lost. */
async function checkStopped(t: Test, worker: TestWorker, handle: string): Promise<void> {
  const ready = (await get(worker, '/v1/ready?nonce=n')).json();
  t.match(ready, { ready: false, state: 'stopped', handles: [], models: [] }, 'no shard is resident');
  t.match(ready.reasons, [{ code: 'STOPPED' }, { code: 'CUDA_ERROR' }, { code: 'NO_MODEL_READY' }]);
  t.match((await get(worker, '/readyz')).json(), { ready: false, reasons: [{ code: 'STOPPED' }, {}] });
  t.match((await post(worker, '/v1/handles/verify', { handle })).json(), { valid: false, reason: 'not_sealed' });
  t.equal((await get(worker, '/livez')).statusCode, 200);
  t.match((await upload(worker, 'late', bytes)).json(), cudaError, 'a commit is refused');
  t.match((await post(worker, '/v1/shards/sealed/verify')).json(), cudaError, 'a verification is refused');
  t.match((await remove(worker, '/v1/shards/sealed')).json(), cudaError, 'a release is refused');
  t.match((await get(worker, '/v1/shards')).json(), cudaError, 'a list of shards is refused');
  t.match((await get(worker, '/v1/devices')).json(), cudaError, 'a list of devices is refused');
  const plan = { model_ref: 'm', model_bytes: 1, shard_layout: 'single' };
  t.match((await post(worker, '/v1/plan', plan)).json(), cudaError, 'a plan is refused');
  t.equal((await get(worker, '/metrics')).statusCode, 200, 'metrics are still served');
}

t.test('a sticky error in any request stops the worker', onSimulator, async (t) => {
  const requests: Record<string, (worker: TestWorker) => Promise<{ json(): object }>> = {
    'a commit': (worker) => upload(worker, 'a', bytes),
    'a verification': (worker) => post(worker, '/v1/shards/sealed/verify'),
    'a release': (worker) => remove(worker, '/v1/shards/sealed'),
  };
  for (const [name, send] of Object.entries(requests)) {
    const { worker, lost, losses, handle } = await startWithShard(t);
    simulator.faults('cuLaunchKernel:1+=700,cuMemUnmap:1+=700');
    t.match((await send(worker)).json(), cudaError, name);
    t.match(await lost, { code: 'CUDA_ERROR' });
    await checkStopped(t, worker, handle);
    t.equal(losses.length, 1, 'the loss is reported once');
    simulator.reset();
    await worker.stop();
  }
});

t.test('an idle worker detects that its device is lost', onSimulator, async (t) => {
  for (const fault of ['cuMemGetInfo_v2:1+=46', '*:1+=999']) {
    const { worker, lost, handle } = await startWithShard(t);
    simulator.faults(fault);
    t.match(await lost, { code: 'CUDA_ERROR' }, fault);
    await checkStopped(t, worker, handle);
    simulator.reset();
    await worker.stop();
  }
});

t.test('one failed driver call does not stop the worker', onSimulator, async (t) => {
  const { worker, losses } = await startWithShard(t);
  simulator.faults('cuMemGetInfo_v2:1=999');
  await until(() => simulator.calls('cuMemGetInfo_v2') >= 3);
  simulator.faults('cuLaunchKernel:1=999');
  t.match((await post(worker, '/v1/shards/sealed/verify')).json(), { code: 'CUDA_ERROR', retriable: false });
  t.equal((await get(worker, '/v1/ready?max_age_seconds=1000')).statusCode, 200);
  t.equal((await post(worker, '/v1/shards/sealed/verify')).json().verified, true);
  t.same(losses, []);
});

t.test('a driver call that hangs ends every waiting request and stops the worker', onSimulator, async (t) => {
  // Every kind of request waits for one of these functions.
  for (const hanging of ['cuStreamSynchronize', 'cuMemGetInfo_v2', '*']) {
    // Below the shortest time of the setting.
    const options = { env: { WORKER_COMMIT_SLOTS: '2' }, residency: { driverTimeoutSeconds: 0.5 } };
    const { worker, lost, losses, handle } = await startWithShard(t, options);
    await upload(worker, 'other', bytes);
    simulator.faults(`${hanging}:1+=hang`);
    const waiting = [
      ...['a', 'b', 'c', 'd'].map((id) => upload(worker, id, bytes)),
      post(worker, '/v1/shards/sealed/verify'),
      get(worker, '/v1/ready?max_age_seconds=1'),
    ];
    const deleted = remove(worker, '/v1/shards/other');
    t.match(await lost, { code: 'CUDA_ERROR', message: /timed out after/ }, hanging);
    const answers = await Promise.all([...waiting, deleted]);
    for (const { statusCode, body } of answers) {
      const hasOutcome = statusCode < 300 || /"code":"CUDA_ERROR"|"state":"stopped"/.test(body);
      t.ok(hasOutcome, `${hanging}: ${statusCode} ${body.slice(0, 100)}`);
    }
    await checkStopped(t, worker, handle);
    t.equal(losses.length, 1);
    await worker.stop();
    simulator.reset();
  }
});

t.test('an illegal address loses the driver', onSimulator, async (t) => {
  const { worker, losses } = await startWithShard(t);
  simulator.faults('cuLaunchKernel:1+=700');
  t.match((await post(worker, '/v1/shards/sealed/verify')).json(), { status: 500, code: 'CUDA_ERROR' });
  t.match(losses[0], { code: 'CUDA_ERROR' });
  t.match((await get(worker, '/v1/ready')).json(), { ready: false, state: 'stopped' });
});

t.test('a check asked for during another one queries the devices again, once for all', async (t) => {
  const ends: (() => void)[] = [];
  const refresh = () => new Promise<void>((resolve) => ends.push(resolve));
  const health = new DriverHealth(new Map([[0, { refresh } as never]]), () => undefined);
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const first = health.check();
  const later = [health.check(), health.check()];
  t.equal(ends.length, 1);
  ends[0]?.();
  await first;
  await settle();
  t.equal(ends.length, 2, 'the later calls share one check that began after them');
  ends[1]?.();
  await Promise.all(later);
  t.equal(ends.length, 2);
});
