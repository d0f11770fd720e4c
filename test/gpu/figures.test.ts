import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { referenceTreeDigest } from '../../src/seal/tree.js';
import { patternBytes } from '../support/bytes.js';
import { mebibyte, post } from '../support/requests.js';
import { startWorker } from '../support/worker.js';

const bytes = patternBytes((process.env.VRAM_TEST_QUICK === undefined ? 512 : 64) * mebibyte);
const rate = (ms: number) => `${(bytes.length / 1e6 / ms).toFixed(2)} GB/s`;

t.test('a large shard is committed from a file and verified; prints both rates', { timeout: 600_000 }, async (t) => {
  const directory = t.testdir({});
  writeFileSync(join(directory, 'shard'), bytes);
  const worker = await startWorker(t, { env: { WORKER_MODEL_DIR: directory } });
  const tree = referenceTreeDigest(bytes);
  const fields = { expected_tree_digest: tree, flat_digest: false, source: { type: 'file', path: 'shard' } };
  const started = performance.now();
  const answer = await post(worker, '/v1/commit', { shard_id: 'a', model_ref: 'm', ...fields });
  t.equal(answer.statusCode, 201, answer.body);
  t.comment(`figure: commit from a file, digested on the device: ${rate(performance.now() - started)}`);

  const again = performance.now();
  const report = (await post(worker, '/v1/shards/a/verify')).json();
  t.match(report, { verified: true, bytes: bytes.length });
  t.comment(`figure: verify in GPU memory: ${rate(performance.now() - again)}`);
});
