import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { b3sum, fsverity } from '../baselines/tools.mjs';
import { freshContent } from '../content.mjs';
import { flipBit } from '../device_memory.mjs';
import { hashRate } from '../native.mjs';
import { alternate } from '../rounds.mjs';
import { rate } from '../row.mjs';
import { Worker } from '../worker.mjs';

const grainBytes = 512 * 1024;

/**
 * Verification of a resident shard, compared with programs that hash the same bytes and with the CPU's hash rate. In every
 * other round a bit of the shard is flipped first, and the report must locate it.
 * @param {import('../bench.mjs').Context} context
 */
export async function verify({ options, workspace, tools }) {
  const { rounds, sizeBytes } = options;
  const device = workspace.make('device');
  const worker = await Worker.start(workspace, { CUDA_SIM_DIR: device });
  const requests = [];
  const memoryLimits = [];

  const prepare = async (round) => {
    const content = freshContent(workspace.models, 'verify', sizeBytes);
    await worker.file('verify', content);
    const damaged = round % 2 === 1 ? randomInt(sizeBytes) : undefined;
    if (damaged !== undefined) flipBit(device, content, damaged);
    return { content, damaged };
  };
  const product = async ({ damaged }) => {
    const { seconds, requestSeconds, report } = await worker.verify('verify');
    assert.deepEqual(
      [report.verified, report.bytes, report.corrupt_ranges],
      [damaged === undefined, sizeBytes, rangesAt(damaged, sizeBytes)],
      'unexpected verification report',
    );
    await worker.release('verify');
    requests.push(requestSeconds);
    return seconds;
  };
  await product(await prepare(0)); // warm-up
  requests.length = 0;
  const samples = await alternate(rounds, prepare, {
    product,
    limit: async () => {
      const rates = await hashRate();
      memoryLimits.push(rates.memory_gb_per_s);
      return rates.all_gb_per_s;
    },
    ...(tools.fsverity.missing === undefined && { fsverity: ({ content }) => fsverity(content) }),
    ...(tools.b3sum.missing === undefined && { b3sum: ({ content }) => b3sum(content) }),
  });
  await worker.stop();

  return rows({ sizeBytes, tools, samples, requests, memoryLimits });
}

/** The bytes that the report must name, if the bit at an offset is flipped. */
function rangesAt(damaged, sizeBytes) {
  if (damaged === undefined) return [];
  const offset = damaged - (damaged % grainBytes);
  return [{ offset, length: Math.min(grainBytes, sizeBytes - offset) }];
}

function rows({ sizeBytes, tools, samples, requests, memoryLimits }) {
  const row = { path: 'verify a resident shard', better: 'higher', product: rate(sizeBytes, samples.product) };
  const comparedWith = (name) =>
    samples[name] ? { baselineSeries: rate(sizeBytes, samples[name]) } : { missing: tools[name].missing };
  const limitRow = (place, limits) => ({
    ...row,
    product: rate(sizeBytes, requests),
    baseline: `CPU limit: all cores, multi-buffer SHA-256, ${place}`,
    baselineSeries: { unit: 'GB/s', samples: limits },
    target: 0.9,
    note: 'request time only, without the start of curl',
  });
  return [
    { ...row, baseline: 'fsverity digest', ...comparedWith('fsverity'), required: 4, target: 5 },
    limitRow('in cache', samples.limit),
    limitRow('from memory', memoryLimits),
    { ...row, baseline: 'b3sum --num-threads 2', ...comparedWith('b3sum'), required: 0.7, target: 1 },
  ];
}
