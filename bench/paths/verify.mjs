import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { freshContent } from '../content.mjs';
import { damage } from '../device_memory.mjs';
import { hashRate } from '../native.mjs';
import { alternate } from '../rounds.mjs';
import { rate } from '../row.mjs';
import { Worker } from '../worker.mjs';
import { b3sum, fsverity } from '../yardsticks/tools.mjs';

const grainBytes = 512 * 1024;

/**
 * Verification of a resident shard, against programs that hash the same bytes and against what the CPU can hash at all. In
 * every other round a bit of the shard was flipped before: it must be found, where it is.
 * @param {import('../bench.mjs').Context} context
 */
export async function verify({ options, workspace, tools }) {
  const { rounds, sizeBytes } = options;
  const device = workspace.make('device');
  const worker = await Worker.start(workspace, { CUDA_SIM_DIR: device });
  const requests = [];

  const prepare = async (round) => {
    const content = freshContent(workspace.models, 'verify', sizeBytes);
    await worker.file('verify', content);
    const damaged = round % 2 === 1 ? randomInt(sizeBytes) : undefined;
    if (damaged !== undefined) damage(device, content, damaged);
    return { content, damaged };
  };
  const product = async ({ damaged }) => {
    const { seconds, requestSeconds, report } = await worker.verify('verify');
    const offset = damaged === undefined ? 0 : damaged - (damaged % grainBytes);
    const ranges = damaged === undefined ? [] : [{ offset, length: Math.min(grainBytes, sizeBytes - offset) }];
    assert.deepEqual(
      [report.verified, report.bytes, report.corrupt_ranges],
      [damaged === undefined, sizeBytes, ranges],
      'the verification is wrong',
    );
    await worker.release('verify');
    requests.push(requestSeconds);
    return seconds;
  };
  await product(await prepare(0)); // the warm-up round
  requests.length = 0;
  const samples = await alternate(rounds, prepare, {
    product,
    limit: async () => (await hashRate()).all_gb_per_s,
    ...(tools.fsverity.missing === undefined && { fsverity: ({ content }) => fsverity(content) }),
    ...(tools.b3sum.missing === undefined && { b3sum: ({ content }) => b3sum(content) }),
  });
  await worker.stop();

  const row = { path: 'verify a resident shard', better: 'higher', product: rate(sizeBytes, samples.product) };
  const against = (name) =>
    samples[name] ? { reference: rate(sizeBytes, samples[name]) } : { missing: tools[name].missing };
  return [
    { ...row, yardstick: 'fsverity digest', ...against('fsverity'), mustReach: 4 },
    {
      ...row,
      product: rate(sizeBytes, requests),
      yardstick: "the CPU's limit: all cores, multi-buffer SHA-256",
      reference: { unit: 'GB/s', samples: samples.limit },
      aim: 0.85,
      note: 'time of the request alone, without starting curl',
    },
    { ...row, yardstick: 'b3sum --num-threads 2', ...against('b3sum'), mustReach: 0.7, aim: 1 },
  ];
}
