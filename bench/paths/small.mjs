import assert from 'node:assert/strict';
import { Connection, requestHead } from '../connection.mjs';
import { Digests, randomStream } from '../content.mjs';
import { median } from '../statistics.mjs';
import { Worker } from '../worker.mjs';

const shardBytes = 4096;
const rounds = 3;

/**
 * Commits of 4 KiB one after the other over one connection, until there are a thousand. The first pass, which warms the code
 * and touches the memory, does not count: it would make the first ten dear.
 * @param {import('../bench.mjs').Context} context
 */
export async function small({ options, workspace, figures }) {
  const worker = await Worker.start(workspace);
  const connection = await Connection.open(worker.url);
  const random = randomStream();
  const passes = [];
  for (let pass = 0; pass <= rounds; pass++) {
    const milliseconds = [];
    for (let index = 0; index < options.smallShards; index++) {
      milliseconds.push(await commit(worker, connection, `small-${index}`, random(shardBytes)));
    }
    for (let index = 0; index < options.smallShards; index++) await worker.release(`small-${index}`);
    if (pass > 0) passes.push(milliseconds);
  }
  connection.close();
  await worker.stop();
  figures.smallShards = passes[0].map((_, index) => median(passes.map((pass) => pass[index])));

  return [
    {
      path: `a commit of 4 KiB with ${options.smallShards} shards resident (median of the last ${lastPart})`,
      better: 'lower',
      product: { unit: 'ms', samples: passes.map((pass) => median(pass.slice(-lastPart))) },
      yardstick: 'the first ten (median)',
      reference: { unit: 'ms', samples: passes.map((pass) => median(pass.slice(0, 10))) },
      mustReach: 1.3,
      note: `mean of all ${passes.map((pass) => mean(pass).toFixed(2)).join(', ')} ms, of the first ten ${passes.map((pass) => mean(pass.slice(0, 10)).toFixed(2)).join(', ')} ms`,
    },
  ];
}

const lastPart = 100;
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
