import { setTimeout as sleep } from 'node:timers/promises';
import { freshContent } from '../content.mjs';
import { residentBytes, watchPeak } from '../resident_set.mjs';
import { Worker } from '../worker.mjs';

const mebibyte = 2 ** 20;

/** Peak memory of the worker without the model, above its idle memory. @param {import('../bench.mjs').Context} context */
export async function memory({ options, workspace }) {
  const rows = [];
  for (const bytes of [options.sizeBytes, options.largeBytes]) {
    const worker = await Worker.start(workspace);
    await sleep(500);
    const idleBytes = residentBytes(worker.pid);
    const samples = [];
    for (const commit of ['upload', 'file']) {
      const content = freshContent(workspace.models, 'memory', bytes);
      const stop = watchPeak(worker.pid);
      await worker[commit]('memory', content);
      await worker.verify('memory');
      await worker.release('memory');
      samples.push((stop() - idleBytes) / mebibyte);
    }
    await worker.stop();
    rows.push({
      path: `peak memory above idle, without the model: ${bytes / 2 ** 30} GiB by upload and by file, verified`,
      better: 'lower',
      product: { unit: 'MiB', samples: [Math.max(...samples)] },
      required: 160,
      target: 96,
      note: `idle ${Math.round(idleBytes / mebibyte)} MiB; by upload ${samples[0].toFixed(1)}, by file ${samples[1].toFixed(1)}`,
    });
  }
  return rows;
}
