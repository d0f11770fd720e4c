import assert from 'node:assert/strict';
import { Connection, requestHead } from '../connection.mjs';
import { Digests, randomStream } from '../content.mjs';
import { cpuSeconds } from '../cpu_time.mjs';
import { median } from '../statistics.mjs';
import { Worker } from '../worker.mjs';

const shardBytes = 4096;
const rounds = 3;

/**
 * A thousand sequential commits of 4 KiB over one connection. The first pass is a warm-up and does not count, because it
 * would make the first ten commits slow.
 * @param {import('../bench.mjs').Context} context
 */
export async function small({ options, workspace, figures }) {
  const worker = await Worker.start(workspace);
  const connection = await Connection.open(worker.url);
  const random = randomStream();
  const passes = [];
  const cpuMilliseconds = [];
  for (let pass = 0; pass <= rounds; pass++) {
    const milliseconds = [];
    const before = cpuSeconds(worker.pid);
    for (let index = 0; index < options.smallShards; index++) {
      milliseconds.push(await commit(worker, connection, `small-${index}`, random(shardBytes)));
    }
    const used = (cpuSeconds(worker.pid) - before) * 1000;
    for (let index = 0; index < options.smallShards; index++) await worker.release(`small-${index}`);
    if (pass === 0) continue;
    passes.push(milliseconds);
    cpuMilliseconds.push(used / options.smallShards);
  }
  connection.close();
  await worker.stop();
  figures.smallShards = passes[0].map((_, index) => median(passes.map((pass) => pass[index])));

  return [
    {
      path: `commit of 4 KiB with ${options.smallShards} resident shards (median of the last ${tailCommits})`,
      better: 'lower',
      product: { unit: 'ms', samples: passes.map((pass) => median(pass.slice(-tailCommits))) },
      baseline: 'first ten commits (median)',
      baselineSeries: { unit: 'ms', samples: passes.map((pass) => median(pass.slice(0, 10))) },
      required: 1.3,
      note: `mean of all commits ${passes.map((pass) => mean(pass).toFixed(2)).join(', ')} ms, of the first ten ${passes.map((pass) => mean(pass.slice(0, 10)).toFixed(2)).join(', ')} ms`,
    },
    {
      path: 'CPU time of the worker for a commit of 4 KiB',
      better: 'lower',
      product: { unit: 'ms', samples: cpuMilliseconds },
    },
  ];
}

const tailCommits = 100;
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** @returns {Promise<number>} milliseconds */
async function commit(worker, connection, shardId, bytes) {
  const digests = new Digests(bytes.length);
  digests.update(bytes);
  const content = { ...digests.finish(), bytes: bytes.length, name: shardId, path: '' };
  const query = `shard_id=${shardId}&model_ref=small&expected_digest=${content.digest}`;
  const head = requestHead('PUT', `/v1/commit?${query}`, {
    authorization: worker.authorization,
    'content-length': bytes.length,
  });
  const request = Buffer.concat([Buffer.from(head), bytes]);
  const started = performance.now();
  const answer = await connection.exchange(request);
  const milliseconds = performance.now() - started;
  assert.equal(answer.status, 201, answer.body().toString());
  worker.checkCommit(JSON.parse(answer.body().toString()), content);
  return milliseconds;
}
