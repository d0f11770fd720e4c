import { freshContent } from '../content.mjs';
import { rate } from '../row.mjs';
import { median } from '../statistics.mjs';
import { Worker } from '../worker.mjs';

const counts = [1, 2, 4, 8];
const rounds = 3;

/** Concurrent commits: their total bytes over the time until the last is sealed. @param {import('../bench.mjs').Context} context */
export async function concurrency({ options, workspace }) {
  const bytes = options.sizeBytes / 4;
  const worker = await Worker.start(workspace);
  const runConcurrently = async (kind, count) => {
    const contents = Array.from({ length: count }, (_, i) => freshContent(workspace.models, `concurrent-${i}`, bytes));
    const started = performance.now();
    await Promise.all(contents.map((content, i) => worker[kind](`concurrent-${i}`, content)));
    const seconds = (performance.now() - started) / 1000;
    await Promise.all(contents.map((_, i) => worker.release(`concurrent-${i}`)));
    return seconds;
  };

  const rows = [];
  for (const kind of ['upload', 'file']) {
    const seconds = counts.map(() => []);
    await runConcurrently(kind, counts.at(-1)); // warm-up
    for (let round = 0; round < Math.min(rounds, options.rounds); round++) {
      for (const [index, count] of counts.entries()) seconds[index].push(await runConcurrently(kind, count));
    }
    const rates = counts.map((count, index) => rate(count * bytes, seconds[index]));
    const slowest = rates.slice(1).reduce((a, b) => (median(a.samples) < median(b.samples) ? a : b));
    const all = counts.map((count, index) => `${count}: ${median(rates[index].samples).toFixed(2)} GB/s`);
    rows.push({
      path: `2, 4, 8 concurrent commits by ${kind} (${bytes / 2 ** 20} MiB each), slowest total`,
      better: 'higher',
      product: slowest,
      baseline: '1 commit',
      baselineSeries: rates[0],
      required: 0.85,
      note: all.join(', '),
    });
  }
  await worker.stop();
  return rows;
}
