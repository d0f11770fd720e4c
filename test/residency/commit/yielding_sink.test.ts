import t, { type Test } from 'tap';
import type { Ingest } from '../../../src/residency/commit/ingest.js';
import { copyYielding } from '../../../src/residency/commit/yielding_sink.js';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { copyParallel } from '../../../src/sources/copy_parallel.js';
import { raceAbort } from '../../../src/sources/egress/abort_scope.js';
import { type RangeWriter, rangeAlignmentBytes } from '../../../src/sources/ranged_sink.js';
import { patternBytes } from '../../support/bytes.js';
import { ScriptedSource } from '../../support/range_sinks.js';
import { sha256, upload } from '../../support/requests.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const bytes = patternBytes(2_500_000);
const env = { WORKER_COMMIT_SLOTS: '1', WORKER_COMMIT_QUEUE: '1' };
const quietMs = 20;

function admit(worker: TestWorker, shardId: string, flatDigest = true, vramBytes = bytes.length): Ingest {
  const request = { shardId, modelRef: 'model', shardIndex: 0, totalShards: 1, flatDigest };
  const admission = worker.residency.admit({ ...request, vramBytes }, { name: 'test', requestId: 'test' });
  if (admission.kind !== 'ingest') throw new Error('the shard exists already');
  return admission.ingest;
}

const sealed = async (t: Test, worker: TestWorker, shardId: string) =>
  t.equal((await upload(worker, shardId, bytes)).statusCode, 201, shardId);

t.test('while a source is silent, other commits get the slot, and every byte arrives', async (t) => {
  const worker = await startWorker(t, { env });
  const ingest = admit(worker, 'a');
  await ingest.start();
  const copy = copyYielding(
    ingest,
    async (sink) => {
      await sealed(t, worker, 'before-the-first-byte');
      await sink.write(bytes.subarray(0, 700_001));
      await sealed(t, worker, 'in-the-middle');
      await sink.write(bytes.subarray(700_001));
      await sealed(t, worker, 'after-the-last-byte');
    },
    quietMs,
  );
  await copy;
  t.equal((await ingest.finish()).shard.digest, sha256(bytes));
});

t.test('while all ranges of a commit are silent, other commits get the slots, and every byte arrives', async (t) => {
  const worker = await startWorker(t, { env });
  const ingest = admit(worker, 'a', false);
  await ingest.start();
  const middle = 2 * rangeAlignmentBytes;
  await copyYielding(
    ingest,
    async (sink) => {
      const writers: RangeWriter[] = [];
      for (let writer = await sink.openWriter(); writer !== undefined; writer = await sink.openWriter())
        writers.push(writer);
      // The slot of the first one belongs to the commit, that of the last one is spare.
      const parts = [
        { writer: writers[0], offset: 0, half: 700_001, end: middle },
        { writer: writers.at(-1), offset: middle, half: middle + 300_001, end: bytes.length },
      ];
      await sealed(t, worker, 'before-the-first-byte');
      for (const { writer, offset, half } of parts) {
        await writer?.begin(offset);
        await writer?.write(bytes.subarray(offset, half));
      }
      await sealed(t, worker, 'in-the-middle');
      await Promise.all(parts.map(async ({ writer, half, end }) => writer?.write(bytes.subarray(half, end))));
      await sealed(t, worker, 'after-the-last-byte');
      for (const { writer } of parts) await writer?.flush();
    },
    quietMs,
  );
  t.equal((await ingest.finish()).shard.treeDigest, referenceTreeDigest(bytes));
});

t.test('a commit that yielded waits for a slot, also behind a full queue, and can be aborted', async (t) => {
  const worker = await startWorker(t, { env });
  const ingest = admit(worker, 'a');
  await ingest.start();
  const copy = copyYielding(
    ingest,
    async (sink) => {
      const holder = admit(worker, 'b');
      await holder.start();
      const queued = admit(worker, 'c');
      const written = Promise.resolve(sink.write(bytes));
      written.catch(() => undefined);
      await until(() => worker.residency.stats().commitsWaiting === 2, 'it waits');
      await ingest.abort(new Error('aborted'));
      await Promise.all([holder.abort(), queued.abort()]);
      await written;
    },
    quietMs,
  );
  await t.rejects(copy, { message: 'aborted' });
  t.equal(worker.residency.commitsInProgress, 0);
  await sealed(t, worker, 'afterwards');
});

t.test('a range that fails ends the commit, although another range waits for the slot', async (t) => {
  const worker = await startWorker(t, { env });
  const ingest = admit(worker, 'a', false, 9 * 2 ** 20);
  await ingest.start();
  const holder = admit(worker, 'b');
  const source = new ScriptedSource(ingest.totalBytes, async (sink, _range, signal, number) => {
    await holder.start();
    if (number === 1) return raceAbort(Promise.resolve(sink.write(bytes)), signal);
    await until(() => worker.residency.stats().commitsWaiting === 1, 'the other range waits');
    throw new Error('the second range failed');
  });
  const { signal } = new AbortController();
  const copy = copyYielding(ingest, (sink) => copyParallel(source, sink, { signal }), quietMs);
  await t.rejects(copy, { message: 'the second range failed' });
  t.equal(worker.residency.stats().commitsWaiting, 0);
  await Promise.all([ingest.abort(), holder.abort()]);
  await sealed(t, worker, 'afterwards');
});

t.test('a silent commit keeps its slot if no other one waits', async (t) => {
  const worker = await startWorker(t, { env });
  const ingest = admit(worker, 'a');
  await ingest.start();
  await copyYielding(
    ingest,
    async (sink) => {
      await new Promise((resolve) => setTimeout(resolve, 4 * quietMs));
      t.equal(sink.write(bytes.subarray(0, 1000)), undefined, 'the slot is still there');
      await sink.write(bytes.subarray(1000));
    },
    quietMs,
  );
  t.equal((await ingest.finish()).shard.state, 'sealed');
});
