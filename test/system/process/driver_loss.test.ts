import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { faultsAfterStart, run, startProcess, temporaryDirectory } from '../../support/process.js';

/** A memory cell that ECC cannot correct ends the context. */
const uncorrectableEcc = 'cuLaunchKernel:9+=214';

t.test('with a lost driver the worker reports it, then exits with status 70 even if a call hangs', async (t) => {
  for (const faults of ['cuStreamSynchronize:9+=hang', 'cuMemGetInfo_v2:8+=46', uncorrectableEcc]) {
    const directory = temporaryDirectory(t);
    const auditLog = join(directory, 'audit.jsonl');
    const worker = await startProcess(t, directory, {
      ...faultsAfterStart(faults),
      WORKER_DRIVER_TIMEOUT_SECONDS: '1',
      WORKER_AUDIT_LOG: auditLog,
    });
    const { url, authorization } = worker;
    const ready = new Promise<object>((resolve) => {
      const poll = async () => {
        const answer = await fetch(`${url}/readyz`).then((response) => response.json() as Promise<{ ready: boolean }>);
        if (answer.ready) setTimeout(poll, 50);
        else resolve(answer);
      };
      void poll();
    });
    const body = patternBytes(3_000_000);
    let status = 201;
    // 507: the device may be full before the driver is lost.
    for (let n = 0; status === 201 || status === 507; n++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      const path = `/v1/commit?shard_id=s-${n}&model_ref=m`;
      ({ status } = await fetch(url + path, { method: 'PUT', headers: { authorization }, body }));
    }
    t.equal(status, 500, faults);
    t.match(await ready, { ready: false, reasons: [{ code: 'STOPPED' }, { code: 'CUDA_ERROR' }] }, faults);
    t.equal(await worker.exited, 70, faults);
    t.match(worker.output(), /"level":60.*the driver is lost/, 'the log has the reason');
    t.match(readFileSync(auditLog, 'utf8'), /WorkerStopped/, 'the audit log has the stop');
  }
});

t.test('a driver that hangs at startup or at shutdown does not keep the process alive', async (t) => {
  const env = { WORKER_DRIVER_TIMEOUT_SECONDS: '1', WORKER_BIND_ADDR: '127.0.0.1:0' };
  const starting = run(t, temporaryDirectory(t), ['serve', '--simulate'], {
    ...env,
    CUDA_SIM_FAULTS: 'cuDeviceGetName:1=hang',
  });
  t.equal(await starting.exited, 69);
  t.match(starting.errors(), /no usable GPU: GPU device 0: CUDA driver call timed out/);

  const stopping = await startProcess(t, temporaryDirectory(t), { ...env, CUDA_SIM_FAULTS: 'cuMemFreeHost:1=hang' });
  stopping.child.kill('SIGTERM');
  t.equal(await stopping.exited, 70);
});
