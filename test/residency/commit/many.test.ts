import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { get, upload } from '../../support/requests.js';
import { onSimulator } from '../../support/simulator.js';
import { startWorker } from '../../support/worker.js';

// Read by the simulator when the first worker starts.
process.env.CUDA_SIM_DEVICES = '1GiB';
process.env.CUDA_SIM_ENGINE = 'fast';

t.test('more shards than native calls may be under way are all verified when that is asked', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const count = 300;
  for (let index = 0; index < count; index++) await upload(worker, `s-${index}`, patternBytes(4096, index + 1));
  await new Promise((resolve) => setTimeout(resolve, 1100));
  const asked = Date.now();
  const ready = await get(worker, '/v1/ready?max_age_seconds=1');
  t.equal(ready.statusCode, 200, ready.body.slice(0, 500));
  const verified = ready.json().handles.map(({ shard }: { shard: { last_verified_at: string } }) => shard);
  t.equal(verified.length, count);
  t.ok(verified.every((shard: { last_verified_at: string }) => Date.parse(shard.last_verified_at) >= asked - 1000));
});
