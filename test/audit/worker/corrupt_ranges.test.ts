import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readChain } from '../../support/audit.js';
import { patternBytes } from '../../support/bytes.js';
import { flip, locate } from '../../support/damage.js';
import { post } from '../../support/requests.js';
import { onSimulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

const groupBytes = 512 * 1024;
const ranges = 260;
const bytes = (2 * ranges - 1) * groupBytes;

// Read by the simulator when the first worker starts.
const directory = t.testdir({ memory: {} });
process.env.CUDA_SIM_DIR = join(directory, 'memory');
process.env.CUDA_SIM_ENGINE = 'fast';
process.env.CUDA_SIM_DEVICES = `${ranges + 40}MiB`;

t.test('an entry lists at most 256 corrupt ranges, and the number of all', onSimulator, async (t) => {
  const models = join(directory, 'models');
  mkdirSync(models);
  const start = patternBytes(4096);
  writeFileSync(join(models, 'model.bin'), start);
  truncateSync(join(models, 'model.bin'), bytes);
  const log = join(directory, 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_MODEL_DIR: models, WORKER_AUDIT_LOG: log } });
  const source = { type: 'file', path: 'model.bin' };
  const committed = await post(worker, '/v1/commit', { shard_id: 'a', model_ref: 'm', source });
  t.equal(committed.statusCode, 201);

  const offsets = Array.from({ length: ranges }, (_, index) => ({ offset: 2 * index * groupBytes + 4096, bit: 0 }));
  flip(locate(start), offsets);
  const report = (await post(worker, '/v1/shards/a/verify')).json();
  t.equal(report.corrupt_ranges.length, ranges, 'the answer lists all ranges');
  await until(() => worker.residency.shard('a').state === 'sealed');

  const entries = readChain(log).filter((entry) => 'corrupt_ranges' in entry);
  t.same(
    entries.map(({ event }) => event),
    ['SealVerificationFailed', 'SealVerificationFailed', 'RepairStarted'],
    'the first damage has an entry at once, all damage has one at the end of the run',
  );
  for (const entry of entries.slice(1)) {
    t.same(entry.corrupt_ranges, report.corrupt_ranges.slice(0, 256), entry.event);
    t.equal(entry.corrupt_range_count, ranges, entry.event);
  }
});
