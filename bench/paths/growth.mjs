import assert from 'node:assert/strict';
import { freshContent } from '../content.mjs';
import { rate } from '../row.mjs';
import { median } from '../statistics.mjs';
import { Worker } from '../worker.mjs';

const smallestBytes = 64 * 2 ** 20;
const rounds = 3;
const verify = 'verify a resident shard';

/** The cost of each path as the shard size doubles from 64 MiB. @param {import('../bench.mjs').Context} context */
export async function growth({ options, workspace, figures }) {
  const worker = await Worker.start(workspace);
  const commits = {
    'commit by upload, flat + tree': (content) => worker.upload('growth', content),
    'commit by upload, flat_digest=false': (content) => worker.upload('growth', content, false),
    'commit by file, flat_digest=false': (content) => worker.file('growth', content, false),
    'commit by file, flat + tree': (content) => worker.file('growth', content),
  };
  const sizes = [];
  for (let bytes = smallestBytes; bytes <= options.growthBytes; bytes *= 2) sizes.push(bytes);
  const seconds = Object.fromEntries([...Object.keys(commits), verify].map((name) => [name, sizes.map(() => [])]));
  const measure = async (bytes, index) => {
    const content = freshContent(workspace.models, 'growth', bytes);
    for (const [name, commit] of Object.entries(commits)) {
      seconds[name][index].push(await commit(content));
      if (name === Object.keys(commits).at(-1)) {
        const { seconds: elapsed, report } = await worker.verify('growth');
        assert.equal(report.verified, true);
        seconds[verify][index].push(elapsed);
      }
      await worker.release('growth');
    }
  };

  await worker.file('growth', freshContent(workspace.models, 'growth', options.growthBytes)); // warm-up
  await worker.release('growth');
  for (let round = 0; round < Math.min(rounds, options.rounds); round++) {
    for (const [index, bytes] of sizes.entries()) await measure(bytes, index);
  }
  await worker.stop();
  figures.growth = {
    sizes,
    seconds: Object.fromEntries(Object.entries(seconds).map(([name, series]) => [name, series.map(median)])),
  };
  const last = sizes.length - 1;
  return Object.keys(seconds).map((name) => ({
    path: `${name}, ${sizes[last] / 2 ** 30} GiB`,
    better: 'higher',
    product: rate(sizes[last], seconds[name][last]),
    baseline: 'same path at 64 MiB',
    baselineSeries: rate(sizes[0], seconds[name][0]),
    note: sizes
      .map((bytes, index) => `${bytes / 2 ** 20} MiB ${median(rate(bytes, seconds[name][index]).samples).toFixed(2)}`)
      .join(', '),
  }));
}
