import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { StagingWriter } from '../../../src/residency/commit/staging_writer.js';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { copyAll } from '../../../src/sources/copy_all.js';
import { rangeAlignmentBytes } from '../../../src/sources/ranged_sink.js';
import { patternBytes } from '../../support/bytes.js';
import { ScriptedSource } from '../../support/range_sinks.js';
import { RangedIngests } from '../../support/ranged_ingests.js';
import { mebibyte, post, remove } from '../../support/requests.js';
import { startWorker } from '../../support/worker.js';

const bytes = patternBytes(17 * mebibyte + 4097);
const tree = referenceTreeDigest(bytes);
const { signal } = new AbortController();

/** Whole groups of these bytes, and the rest. */
const ranges = [12, 0, 33, 5, 34, 20]
  .map((group) => group * rangeAlignmentBytes)
  .map((offset, _, all) => ({ offset, end: Math.min(bytes.length, ...all.filter((other) => other > offset)) }));

t.test(
  'an ingest takes ranges in any order, with a window of slots, and its host digest is that of the order',
  async (t) => {
    const ingests = await RangedIngests.open(t);
    const { ingest, target } = await ingests.start(bytes.length);
    const writers: StagingWriter[] = [];
    for (let writer = await ingest.openWriter(); writer !== undefined; writer = await ingest.openWriter())
      writers.push(writer);
    t.equal(writers.length, 8, 'four slots of the commit, and four spare ones');
    await Promise.all(
      ranges.map(async ({ offset, end }, index) => {
        const writer = writers[index];
        await writer?.begin(offset);
        await writer?.write(bytes.subarray(offset, end));
      }),
    );
    t.equal(target.receivedBytes, bytes.length);
    t.same(await ingest.finish(), { flat: null, tree });
    await target.allocation?.seal();
    const hashes = await target.allocation?.groupHashes();
    t.equal(hashes && target.allocation?.treeDigest(hashes), tree, 'the device has the same bytes');
    t.ok(ingests.areSlotsFree);
    await target.allocation?.free();
  },
);

t.test(
  'a byte that is missing, written twice, or outside the shard fails the ingest, which frees everything',
  async (t) => {
    const ingests = await RangedIngests.open(t);
    const group = rangeAlignmentBytes;
    const one = Buffer.alloc(1);
    const cases: [string, readonly (readonly [offset: number, length: number])[], { code: string }][] = [
      [
        'a byte is missing',
        [
          [0, group],
          [group, group - 1],
        ],
        { code: 'LENGTH_MISMATCH' },
      ],
      ['a range is missing', [[group, group]], { code: 'LENGTH_MISMATCH' }],
      ['a byte is outside', [[group, group + 1]], { code: 'LENGTH_MISMATCH' }],
      [
        'the last byte of a range is also in the next',
        [
          [group, group],
          [0, group + 1],
        ],
        { code: 'INTERNAL' },
      ],
      [
        'a range arrives twice',
        [
          [0, group],
          [0, group],
        ],
        { code: 'INTERNAL' },
      ],
      ['a range begins next to a group', [[group - 1, group]], { code: 'INTERNAL' }],
      [
        'a range ends in a group',
        [
          [0, group - 1],
          [group, 1],
        ],
        { code: 'LENGTH_MISMATCH' },
      ],
    ];
    for (const [title, parts, error] of cases) {
      const { ingest } = await ingests.start(2 * group);
      const attempt = async () => {
        const writer = await ingest.openWriter();
        for (const [offset, length] of parts) {
          await writer?.begin(offset);
          await writer?.write(Buffer.alloc(length));
          await writer?.flush();
        }
        await ingest.finish();
      };
      await t.rejects(attempt(), error, title);
      await ingest.abort();
      t.ok(ingests.areSlotsFree, title);
    }
    const { ingest } = await ingests.start(2 * group);
    await ingest.write(one);
    await t.rejects(ingest.openWriter(), { code: 'INTERNAL' }, 'bytes in order have no other writer');
    await ingest.abort();
    t.ok(ingests.areSlotsFree);
  },
);

t.test('an ingest that is aborted ends the ranges that wait, and gives back all slots', async (t) => {
  const ingests = await RangedIngests.open(t);
  const { ingest } = await ingests.start(bytes.length);
  const stopped = new Promise<void>((resolve) => ingest.signal.addEventListener('abort', () => resolve()));
  const source = new ScriptedSource(bytes.length, async (sink, { offset }, _, number) => {
    await sink.write(bytes.subarray(offset, offset + mebibyte));
    if (number === 3) void ingest.abort(new Error('aborted'));
    await stopped;
  });
  await t.rejects(copyAll(source, ingest, { signal }), { message: 'aborted' });
  await ingest.abort();
  t.ok(ingests.areSlotsFree);
});

t.test('a file is committed by several ranges at a time, with the same checks', async (t) => {
  const directory = t.testdir({});
  writeFileSync(join(directory, 'model'), bytes);
  writeFileSync(join(directory, 'other'), Buffer.concat([bytes.subarray(0, -1), Buffer.of(1)]));
  const worker = await startWorker(t, { env: { WORKER_MODEL_DIR: directory, WORKER_SOURCE_CONNECTIONS: '3' } });
  const commit = (shardId: string, path: string, fields: object = {}) => {
    const digests = { flat_digest: false, expected_tree_digest: tree, ...fields };
    return post(worker, '/v1/commit', {
      shard_id: shardId,
      model_ref: 'model',
      source: { type: 'file', path },
      ...digests,
    });
  };
  const answer = await commit('a', 'model');
  t.equal(answer.statusCode, 201, answer.body);
  t.match(answer.json().shard, { state: 'sealed', digest: null, tree_digest: tree });
  t.match((await post(worker, '/v1/shards/a/verify')).json(), { verified: true });
  const undetermined = { flat_digest: undefined, expected_tree_digest: undefined };
  t.equal((await commit('a', 'model', undetermined)).statusCode, 200, 'a retry whose bytes are compared');
  t.match((await commit('a', 'other', undetermined)).json(), { code: 'SHARD_CONFLICT' });
  t.match((await commit('b', 'other')).json(), { status: 422, code: 'DIGEST_MISMATCH' });
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
});
