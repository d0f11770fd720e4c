import { freshContent } from '../content.mjs';
import { alternate } from '../rounds.mjs';
import { rate } from '../row.mjs';
import { Worker } from '../worker.mjs';
import { openssl } from '../yardsticks/tools.mjs';

/** Commit by reference, against hashing the same file. @param {import('../bench.mjs').Context} context */
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

  await commit(true)(fresh()); // the warm-up round
  const run = (flat) => alternate(rounds, fresh, { product: commit(flat), ...(missing === undefined && { openssl }) });
  const both = await run(true);
  const tree = await run(false);
  await worker.stop();

  const row = (path, samples, mustReach, aim) => ({
    path,
    better: 'higher',
    product: rate(sizeBytes, samples.product),
    yardstick: 'openssl dgst -sha256',
    ...(samples.openssl ? { reference: rate(sizeBytes, samples.openssl) } : { missing }),
    mustReach,
    aim,
  });
  return [row('commit by file, flat + tree', both, 0.8, 1), row('commit by file, flat_digest=false', tree, 2.5, 3.5)];
}
