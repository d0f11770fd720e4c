import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Allocation } from '../../../src/vram/allocation.js';
import { readChain } from '../../support/audit.js';
import { patternBytes } from '../../support/bytes.js';
import { flip, lies, locate } from '../../support/damage.js';
import { onSimulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

// Read by the simulator when the first worker starts.
const directory = t.testdir({ memory: {} });
process.env.CUDA_SIM_DIR = join(directory, 'memory');
process.env.CUDA_SIM_ENGINE = 'fast';

const groupBytes = 512 * 1024;
const bytes = patternBytes(3 * groupBytes);
const stuckAt = groupBytes + 5000;

t.test('a bit that is stuck: repairs are tried a few times, and the shard stays corrupt', onSimulator, async (t) => {
  const models = join(directory, 'models');
  mkdirSync(models);
  writeFileSync(join(models, 'model.bin'), bytes);
  const log = join(directory, 'audit.log');
  const worker = await startWorker(t, {
    listen: true,
    residency: { repairBackoffMs: [5, 5] },
    env: { WORKER_MODEL_DIR: models, WORKER_AUDIT_LOG: log },
  });
  const ask = async (method: string, path: string, body?: object) => {
    const headers = { authorization: `Bearer ${worker.token}`, 'content-type': 'application/json' };
    const answer = await fetch(worker.url + path, { method, headers, ...(body && { body: JSON.stringify(body) }) });
    const text = await answer.text();
    return { status: answer.status, json: text === '' ? null : JSON.parse(text) };
  };
  const commit = () =>
    ask('POST', '/v1/commit', { shard_id: 'a', model_ref: 'm', source: { type: 'file', path: 'model.bin' } });
  const ready = async () => (await ask('GET', '/v1/ready')).json;
  const told = (event: string) => readChain(log).filter((entry) => entry.event === event);
  const { handle } = (await commit()).json;

  // The memory takes what is written to it, and does not keep it.
  const start = locate(bytes);
  const break_ = () => flip(start, [{ offset: stuckAt, bit: 4 }]);
  const repair = Allocation.prototype.repair;
  t.intercept(Allocation.prototype, 'repair', {
    value: async function (this: Allocation, ...args: Parameters<typeof repair>) {
      await repair.apply(this, args);
      break_();
    },
    configurable: true,
  });
  break_();
  const damaged = [{ offset: groupBytes, length: groupBytes }];
  const verify = async () => (await ask('POST', '/v1/shards/a/verify')).json;
  t.match(await verify(), { verified: false, reason: 'damaged', corrupt_ranges: damaged });
  await until(async () => /gave up after 3 attempts/.test((await ready()).reasons[0]?.detail));

  const staysCorrupt = async (attempts: number) => {
    t.match(await ready(), { ready: false, handles: [], reasons: [{ code: 'SHARD_CORRUPT' }] });
    t.match(await ask('GET', '/v1/shards/a'), { json: { state: 'corrupt', sealed: false, corrupt_ranges: damaged } });
    t.match((await ask('POST', '/v1/handles/verify', { handle })).json, { valid: false, reason: 'not_sealed' });
    t.match(await commit(), { status: 409, json: { code: 'SHARD_CONFLICT' } });
    t.equal(told('RepairStarted').length, attempts, `${attempts} repairs were tried`);
    const failures = Array.from({ length: attempts }, (_, index) => index + 1);
    const detail = 'memory is still corrupt after repair';
    t.match(
      told('RepairFailed'),
      failures.map((count) => ({ severity: 'critical', shard_id: 'a', failures: count, detail })),
      'and that each failed is on the log, and why',
    );
    t.equal(told('VramSealed').length, 1, 'nothing was sealed anew');
  };
  await staysCorrupt(3);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await staysCorrupt(3);

  t.match(await verify(), { verified: false, reason: 'damaged', corrupt_ranges: damaged });
  await until(() => told('RepairFailed').length === 4);
  t.match((await ready()).reasons, [{ detail: /gave up after 4 attempts/ }], 'one that is asked for is one more');
  await staysCorrupt(4);
  t.notOk(lies(0, bytes), 'the bit is stuck');

  t.equal((await ask('DELETE', '/v1/shards/a')).status, 204, 'it can be released');
  t.notOk(readFileSync(log, 'utf8').includes('"event":"SealVerified"'));
});
