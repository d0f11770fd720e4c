import { openssl } from '../baselines/tools.mjs';
import { freshContent } from '../content.mjs';
import { alternate } from '../rounds.mjs';
import { rate } from '../row.mjs';
import { Worker } from '../worker.mjs';

/** Commit by reference, compared with hashing the same file. @param {import('../bench.mjs').Context} context */
export async function file({ options, workspace, tools }) {
  const { rounds, sizeBytes } = options;
  const { missing } = tools.openssl;
  const fresh = () => freshContent(workspace.models, 'file', sizeBytes);
  const worker = await Worker.start(workspace);
  const commit = (flat) => async (content) => {
    const seconds = await worker.file('file', content, flat);
    await worker.release('file');
    return seconds;
  };

  await commit(true)(fresh()); // warm-up
  const run = (flat) => alternate(rounds, fresh, { product: commit(flat), ...(missing === undefined && { openssl }) });
  const both = await run(true);
  const tree = await run(false);
  await worker.stop();

  const row = (path, samples, required, target) => ({
    path,
    better: 'higher',
    product: rate(sizeBytes, samples.product),
    baseline: 'openssl dgst -sha256',
    ...(samples.openssl ? { baselineSeries: rate(sizeBytes, samples.openssl) } : { missing }),
    required,
    target,
  });
  return [row('commit by file, flat + tree', both, 0.8, 1), row('commit by file, flat_digest=false', tree, 2.5, 3.5)];
}
