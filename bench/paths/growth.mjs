import assert from 'node:assert/strict';
import { freemem } from 'node:os';
import { rate } from '../row.mjs';
import { sparseContents } from '../sparse_content.mjs';
import { growthExponent, median } from '../statistics.mjs';
import { Worker } from '../worker.mjs';

const mebibyte = 2 ** 20;
/** Several sizes take about two seconds: the worker digests a part again if its first digest is older than that. */
const sizesMiB = [64, 128, 256, 512, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 4096, 8192, 16_384];
const limitSeconds = 2;
/** The start of `curl` and the work that does not depend on the size hide the growth of smaller sizes. */
const linearFromBytes = 512 * mebibyte;
const maximumRounds = 3;
const verify = 'verify a resident shard';

/** The cost of each path by the size of a shard, and whether it is linear. @param {import('../bench.mjs').Context} context */
export async function growth({ options, workspace, figures }) {
  const sizes = sizesMiB.map((size) => size * mebibyte).filter((bytes) => bytes <= options.growthBytes);
  const contents = sparseContents(workspace.models, sizes);
  const needed = 1.05 * sizes.at(-1);
  if (freemem() < needed) throw new Error(`the simulated device needs ${(needed / 1e9).toFixed(0)} GB of free memory`);
  const worker = await Worker.start(workspace);
  const commits = {
    'commit by upload, flat + tree': (content) => worker.upload('growth', content),
    'commit by upload, flat_digest=false': (content) => worker.upload('growth', content, false),
    'commit by file, flat + tree': (content) => worker.file('growth', content),
    'commit by file, flat_digest=false': (content) => worker.file('growth', content, false),
  };
  const samples = Object.fromEntries([...Object.keys(commits), verify].map((name) => [name, sizes.map(() => [])]));

  await commits['commit by file, flat_digest=false'](contents.at(-1)); // warm-up: allocates the device's memory
  await worker.release('growth');
  for (let round = 0; round < Math.min(maximumRounds, options.rounds); round++) {
    for (const [index, content] of contents.entries()) {
      for (const [name, commit] of Object.entries(commits)) {
        samples[name][index].push(await commit(content));
        if (name === Object.keys(commits).at(-1)) samples[verify][index].push(await timeVerify(worker));
        await worker.release('growth');
      }
    }
  }
  await worker.stop();

  const seconds = Object.fromEntries(Object.entries(samples).map(([name, series]) => [name, series.map(median)]));
  figures.growth = { sizes, seconds };
  return Object.entries(seconds).flatMap(([name, series]) => {
    const points = sizes.map((bytes, index) => [bytes, series[index]]);
    return [exponentRow(name, points), ...stepRows(name, points)];
  });
}

async function timeVerify(worker) {
  const { seconds, report } = await worker.verify('growth');
  assert.equal(report.verified, true);
  return seconds;
}

function exponentRow(name, points) {
  const large = points.filter(([bytes]) => bytes >= linearFromBytes);
  return {
    path: `time by size: ${name}, growth exponent`,
    better: 'lower',
    product: { unit: '', samples: [growthExponent(large.length > 1 ? large : points)] },
    required: 1.1,
    note: `GB/s by MiB: ${points.map(([bytes, taken]) => `${bytes / mebibyte}: ${rate(bytes, [taken]).samples[0].toFixed(2)}`).join(', ')}`,
  };
}

/** The time per byte of the two sizes on either side of two seconds, if there are such. */
function stepRows(name, points) {
  const next = points.findIndex(([, taken]) => taken > limitSeconds);
  const [below, above] = [points[next - 1], points[next]];
  if (below === undefined || above === undefined) return [];
  const perGigabyte = ([bytes, taken]) => ({ unit: 's/GB', samples: [(taken / bytes) * 1e9] });
  return [
    {
      path: `${name}, ${above[0] / mebibyte} MiB in ${above[1].toFixed(2)} s`,
      better: 'lower',
      product: perGigabyte(above),
      baseline: `${below[0] / mebibyte} MiB in ${below[1].toFixed(2)} s`,
      baselineSeries: perGigabyte(below),
      required: 1.15,
    },
  ];
}
