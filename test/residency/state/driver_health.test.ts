import t, { type Test } from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { get, post, remove, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker, type WorkerOptions } from '../../support/worker.js';

// Read by the simulator when the first worker starts. A driver that is lost gives nothing back.
process.env.CUDA_SIM_DEVICES = '512MiB';

const bytes = patternBytes(600_000);
const cudaError = { status: 500, code: 'CUDA_ERROR', retriable: true };

t.afterEach(() => simulator.reset());

/** A worker with a sealed shard, and the error that ended its driver. */
async function workerToLose(t: Test, options: WorkerOptions = {}) {
  const losses: Error[] = [];
  let told = (_: Error) => undefined as undefined;
  const lost = new Promise<Error>((resolve) => {
    told = (error) => void resolve(error);
  });
  const onLost = (error: Error) => {
    losses.push(error);
    told(error);
  };
  const worker = await startWorker(t, { listen: true, ...options, onLost });
  const sealed = (await upload(worker, 'sealed', bytes)).json();
  return { worker, lost, losses, handle: sealed.handle as string };
}

/** What every worker without a driver says. */
async function checkStopped(t: Test, worker: TestWorker, handle: string): Promise<void> {
  const ready = (await get(worker, '/v1/ready?nonce=n')).json();
  t.match(ready, { ready: false, state: 'stopped', handles: [], models: [] }, 'nothing is resident any more');
  t.match(ready.reasons, [{ code: 'STOPPED' }, { code: 'CUDA_ERROR' }, { code: 'NO_MODEL_READY' }]);
  t.match((await get(worker, '/readyz')).json(), { ready: false, reasons: [{ code: 'STOPPED' }, {}] });
  t.match((await post(worker, '/v1/handles/verify', { handle })).json(), { valid: false, reason: 'not_sealed' });
  t.equal((await get(worker, '/livez')).statusCode, 200);
  t.match((await upload(worker, 'late', bytes)).json(), cudaError, 'no commit');
  t.match((await post(worker, '/v1/shards/sealed/verify')).json(), cudaError, 'no verification');
  t.match((await remove(worker, '/v1/shards/sealed')).json(), cudaError, 'no release');
  t.match((await get(worker, '/v1/shards')).json(), cudaError, 'no list');
  t.match((await get(worker, '/v1/devices')).json(), cudaError, 'no devices');
  const plan = { model_ref: 'm', model_bytes: 1, shard_layout: 'single' };
  t.match((await post(worker, '/v1/plan', plan)).json(), cudaError, 'no plan');
  t.equal((await get(worker, '/metrics')).statusCode, 200, 'figures go on');
}

t.test('a sticky error ends the worker, whoever meets it', onSimulator, async (t) => {
  const meetings: Record<string, (worker: TestWorker) => Promise<{ json(): object }>> = {
    'a commit': (worker) => upload(worker, 'a', bytes),
    'a verification': (worker) => post(worker, '/v1/shards/sealed/verify'),
    'a release': (worker) => remove(worker, '/v1/shards/sealed'),
  };
  for (const [name, meet] of Object.entries(meetings)) {
    const { worker, lost, losses, handle } = await workerToLose(t);
    simulator.faults('cuLaunchKernel:1+=700,cuMemUnmap:1+=700');
    t.match((await meet(worker)).json(), cudaError, name);
    t.match(await lost, { code: 'CUDA_ERROR' });
    await checkStopped(t, worker, handle);
    t.equal(losses.length, 1, 'it is told once');
    simulator.reset();
    await worker.stop();
  }
});

t.test('a device that disappears is noticed while nobody asks for anything', onSimulator, async (t) => {
  for (const fault of ['cuMemGetInfo_v2:1+=46', '*:1+=999']) {
    const { worker, lost, handle } = await workerToLose(t);
    simulator.faults(fault);
    t.match(await lost, { code: 'CUDA_ERROR' }, fault);
    await checkStopped(t, worker, handle);
    simulator.reset();
    await worker.stop();
  }
});

t.test('a driver that fails once, and then answers, is not given up', onSimulator, async (t) => {
  const { worker, losses } = await workerToLose(t);
  simulator.faults('cuMemGetInfo_v2:1=999');
  await until(() => simulator.calls('cuMemGetInfo_v2') >= 3);
  simulator.faults('cuLaunchKernel:1=999');
  t.match((await post(worker, '/v1/shards/sealed/verify')).json(), { code: 'CUDA_ERROR', retriable: false });
  t.equal((await get(worker, '/v1/ready?max_age_seconds=1000')).statusCode, 200);
  t.equal((await post(worker, '/v1/shards/sealed/verify')).json().verified, true);
  t.same(losses, []);
});

t.test('a driver call that never returns ends every request that waits, and the worker', onSimulator, async (t) => {
  // One function that each kind of request waits for.
  for (const hanging of ['cuStreamSynchronize', 'cuMemGetInfo_v2', '*']) {
    const env = { WORKER_DRIVER_TIMEOUT_SECONDS: '1', WORKER_COMMIT_SLOTS: '2' };
    const { worker, lost, losses, handle } = await workerToLose(t, { env });
    await upload(worker, 'other', bytes);
    simulator.faults(`${hanging}:1+=hang`);
    const asked = [
      ...['a', 'b', 'c', 'd'].map((id) => upload(worker, id, bytes)),
      post(worker, '/v1/shards/sealed/verify'),
      get(worker, '/v1/ready?max_age_seconds=1'),
    ];
    const deleted = remove(worker, '/v1/shards/other');
    t.match(await lost, { code: 'CUDA_ERROR', message: /did not answer/ }, hanging);
    const answers = await Promise.all([...asked, deleted]);
    for (const { statusCode, body } of answers) {
      const isTold = statusCode < 300 || /"code":"CUDA_ERROR"|"state":"stopped"/.test(body);
      t.ok(isTold, `${hanging}: ${statusCode} ${body.slice(0, 100)}`);
    }
    await checkStopped(t, worker, handle);
    t.equal(losses.length, 1);
    await worker.stop();
    simulator.reset();
  }
});
