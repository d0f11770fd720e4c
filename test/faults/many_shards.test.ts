import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { eventsOf } from '../support/audit.js';
import { patternBytes } from '../support/bytes.js';
import { HeldSyncs } from '../support/held_syncs.js';
import { post } from '../support/requests.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { startWorker } from '../support/worker.js';
import { scale } from './scale.js';

const count = scale(300, 5000);

// The simulator reads its settings when the first worker starts.
process.env.CUDA_SIM_DEVICES = `${2 * count + 64}MiB`;

const secret = Buffer.from('another-secret-0123456789abcdef012345');

t.test('a rotation and a shutdown with many shards need few syncs', async (t) => {
  const directory = temporaryDirectory(t);
  const log = join(directory, 'audit.log');
  writeFileSync(join(directory, 'model'), patternBytes(5000));
  const env = { WORKER_AUDIT_LOG: log, WORKER_MANIFEST: join(directory, 'manifest'), WORKER_MODEL_DIR: directory };
  const worker = await startWorker(t, { env });
  const syncs = HeldSyncs.take(t);
  const ids = Array.from({ length: count }, (_, index) => `s${index}`);
  const source = { type: 'file', path: 'model' };
  for (let start = 0; start < count; start += 20) {
    const group = ids.slice(start, start + 20);
    const commits = group.map((shard_id) => post(worker, '/v1/commit', { shard_id, model_ref: 'm', source }));
    for (const { statusCode } of await Promise.all(commits))
      if (statusCode !== 201) throw new Error(String(statusCode));
  }
  const limit = Math.ceil(count / 128) + 6;
  syncs.count = 0;
  await worker.residency.sealKey.rotate(secret);
  t.ok(syncs.count <= limit, `${syncs.count} syncs for a rotation`);
  syncs.count = 0;
  await worker.residency.sealKey.tick();
  t.equal(syncs.count, 0, 'a pass without an old handle writes nothing');
  await worker.stop();
  t.ok(syncs.count <= limit, `${syncs.count} syncs for a shutdown`);
  t.equal(eventsOf(log).filter((event) => event === 'VramDeallocated').length, count);
  t.comment(`figure: shards rotated and released with a sync for 128 ${count} of ${count}`);
});
