import t from 'tap';
import type { Ingest } from '../../../src/residency/commit/ingest.js';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { availableBytes, sha256, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const bytes = patternBytes(2_500_000);
const oneSlot = { WORKER_COMMIT_SLOTS: '1', WORKER_COMMIT_QUEUE: '1' };
const forever = new AbortController().signal;

t.afterEach(() => simulator.reset());

function admit(worker: TestWorker, shardId: string): Ingest {
  const request = { shardId, modelRef: 'model', shardIndex: 0, totalShards: 1, flatDigest: true };
  const admission = worker.residency.admit(
    { ...request, vramBytes: bytes.length },
    { name: 'test', requestId: 'test' },
  );
  if (admission.kind !== 'ingest') throw new Error('the shard exists already');
  return admission.ingest;
}

async function write(ingest: Ingest, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += 100_000) await ingest.write(bytes.subarray(at, Math.min(to, at + 100_000)));
}

t.test('a paused commit leaves its slot to others, and continues at the same byte', async (t) => {
  const worker = await startWorker(t, { env: oneSlot });
  const ingest = admit(worker, 'a');
  await ingest.pause();
  t.equal((await upload(worker, 'before', bytes)).statusCode, 201);
  const cuts = [0, 1, 4096, 700_001, 1_048_576, 2_400_000, bytes.length];
  for (const [index, from] of cuts.slice(0, -1).entries()) {
    await ingest.resume(forever);
    t.equal(ingest.receivedBytes, from);
    await write(ingest, from, cuts[index + 1] ?? 0);
    await ingest.pause();
    t.equal((await upload(worker, `during-${from}`, bytes)).statusCode, 201);
  }
  await ingest.resume(forever);
  const { shard } = await ingest.finish();
  t.match(shard, { state: 'sealed', digest: sha256(bytes), treeDigest: referenceTreeDigest(bytes) });
});

t.test('a commit that cannot resume stays paused', async (t) => {
  const worker = await startWorker(t, { env: oneSlot });
  const paused = admit(worker, 'a');
  await paused.pause();
  const holder = admit(worker, 'b');
  const queued = admit(worker, 'c');
  await t.rejects(paused.resume(forever), { code: 'TOO_MANY_COMMITS' });
  await queued.abort();
  const patience = new AbortController();
  const resuming = paused.resume(patience.signal);
  patience.abort(new Error('left'));
  await t.rejects(resuming, { message: 'left' });
  t.notOk(holder.othersWait, 'it left the queue');
  await holder.abort();
  await paused.resume(forever);
  await write(paused, 0, bytes.length);
  t.equal((await paused.finish()).shard.state, 'sealed');
});

t.test('a paused commit that is aborted, or whose last write fails, frees everything', onSimulator, async (t) => {
  const worker = await startWorker(t, { env: oneSlot });
  const before = await availableBytes(worker);
  const live = simulator.live('*');
  for (const faults of ['', 'cuMemcpyHtoDAsync_v2:1+=999']) {
    const ingest = admit(worker, 'a');
    await ingest.pause();
    await ingest.resume(forever);
    await write(ingest, 0, 100_000);
    simulator.faults(faults);
    if (faults === '') await ingest.pause();
    else await t.rejects(ingest.pause(), { code: 'CUDA_ERROR' });
    simulator.faults('');
    await ingest.abort();
    await t.rejects(ingest.resume(forever));
    t.same(await availableBytes(worker), before);
    t.equal(simulator.live('*'), live);
    t.equal(worker.residency.commitsInProgress, 0);
  }
  t.equal((await upload(worker, 'after', bytes)).statusCode, 201);
});
