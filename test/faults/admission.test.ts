import t from 'tap';
import { patternBytes } from '../support/bytes.js';
import { head, lastBody, RawClient } from '../support/raw_http.js';
import { remove, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { startWorker, type TestWorker } from '../support/worker.js';
import { scale } from './scale.js';
import { patient, unlessShed, wasShed } from './shed.js';

// Read by the simulator when the first worker starts.
process.env.CUDA_SIM_DEVICES = '64MiB';
process.env.CUDA_SIM_ENGINE = 'fast';

const granule = 2 * 1024 * 1024;
const shardBytes = 3 * granule;
const room = 8;
const clients = 32;

const available = ({ residency }: TestWorker) => residency.devices().map(({ availableBytes }) => availableBytes);

async function releaseAll(worker: TestWorker): Promise<void> {
  for (const { shardId } of worker.residency.shards({ limit: 100 }).shards) {
    if (shardId === 'filler') continue;
    await unlessShed(
      () => remove(worker, `/v1/shards/${shardId}`),
      ({ body }) => body,
    );
  }
}

t.test('exactly as many concurrent commits succeed as fit into memory', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true, env: patient });
  const [free = 0] = available(worker);
  const filler = free - room * shardBytes;
  t.equal((await upload(worker, 'filler', patternBytes(filler))).statusCode, 201);
  const before = available(worker);
  const live = simulator.live('cuMemCreate');
  const rounds = scale(2, 50);
  let exact = 0;
  let read = 0;
  for (let round = 0; round < rounds; round++) {
    const heard = await Promise.all(
      Array.from({ length: clients }, (_, index) => {
        const target = `PUT /v1/commit?shard_id=s-${index}&model_ref=m-${round}`;
        const client = new RawClient(worker.url).send(head(target, { 'Content-Length': shardBytes }));
        void client.send(patternBytes(shardBytes, index + 1));
        return client.until(/\r\n\r\n\{.*\}$/s).finally(() => client.leave());
      }),
    );
    if (heard.some(wasShed)) {
      round--;
      await releaseAll(worker);
      continue;
    }
    read += heard.length;
    const taken = heard.filter((answer) => / 201 Created/.test(answer));
    const refused = heard.filter((answer) => / 507 /.test(answer)).map(lastBody);
    if (taken.length === room && refused.length === clients - room) exact++;
    for (const problem of refused) t.match(problem, { code: 'VRAM_OOM', retriable: true, needed_bytes: shardBytes });
    t.same(available(worker), [0]);
    t.equal(worker.residency.shards({ limit: 100 }).shards.length, room + 1);
    await releaseAll(worker);
    t.same(available(worker), before, 'release frees all memory');
    t.equal(simulator.live('cuMemCreate'), live);
  }
  t.equal(exact, rounds);
  t.comment(`figure: rounds with exactly ${room} of ${clients} commits accepted ${exact} of ${rounds}`);
  t.comment(`figure: clients that received their answer ${read} of ${rounds * clients}`);
});
