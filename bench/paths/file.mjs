import { openssl } from '../baselines/tools.mjs';
import { freshContent } from '../content.mjs';
import { fileFaults, fileLimit, hashRate } from '../native.mjs';
import { alternate } from '../rounds.mjs';
import { rate } from '../row.mjs';
import { median } from '../statistics.mjs';
import { Worker } from '../worker.mjs';

/**
 * Commit by reference, compared with the limit of the machine, which is measured in the same rounds, and with hashing the
 * same file. @param {import('../bench.mjs').Context} context
 */
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
  const limits = [];
  const treeLimit = async ({ path }) => {
    limits.push(await fileLimit(path));
    return limits.at(-1).limit_gb_per_s;
  };

  await commit(true)(fresh()); // warm-up
  const run = (flat, limit) =>
    alternate(rounds, fresh, { product: commit(flat), limit, ...(missing === undefined && { openssl }) });
  const both = await run(true, async () => (await hashRate()).both_gb_per_s);
  const tree = await run(false, treeLimit);
  await worker.stop();

  return [
    ...rows({ path: 'commit by file, flat + tree', sizeBytes, missing }, both, {
      baseline: 'CPU limit: one core, both digests in one pass',
      required: 0.8,
      target: 0.9,
    }),
    ...rows({ path: 'commit by file, flat_digest=false', sizeBytes, missing }, tree, {
      baseline: 'limit: two copies and the hash, over all cores',
      required: 0.6,
      target: 0.8,
      note: steps(limits),
    }),
    await slowReads({ options, workspace }),
  ];
}

/** A commit compared with a limit, and with hashing by OpenSSL, which may be missing. */
function rows({ path, sizeBytes, missing }, samples, limit) {
  const row = { path, better: 'higher', product: rate(sizeBytes, samples.product) };
  const hashed = samples.openssl ? { baselineSeries: rate(sizeBytes, samples.openssl) } : { missing };
  return [
    { ...row, ...limit, baselineSeries: { unit: 'GB/s', samples: samples.limit } },
    { ...row, baseline: 'openssl dgst -sha256', ...hashed },
  ];
}

/**
 * Each read takes 10 ms longer, as from a slow disk. With the flat digest one thread reads at a time, without it several, so
 * their rates add up. @param {import('../bench.mjs').Context} context
 */
async function slowReads({ options, workspace }) {
  const { rounds } = options;
  const bytes = Math.max(64 * 2 ** 20, options.sizeBytes / 16);
  const worker = await Worker.start(workspace, { LD_PRELOAD: fileFaults });
  const commit = (flat) => async (content) => {
    const seconds = await worker.file('slow', content, flat);
    await worker.release('slow');
    return seconds;
  };
  const fresh = () => freshContent(workspace.models, 'delay-read-10', bytes);
  await commit(false)(fresh()); // warm-up
  const samples = await alternate(rounds, fresh, { product: commit(false), inOrder: commit(true) });
  await worker.stop();
  return {
    path: `commit by file of ${bytes / 2 ** 20} MiB, each read 10 ms slower, flat_digest=false`,
    better: 'higher',
    product: rate(bytes, samples.product),
    baseline: 'flat + tree: one read at a time',
    baselineSeries: rate(bytes, samples.inOrder),
    required: 2,
    target: 3,
  };
}

/** @param {readonly import('../native.mjs').FileLimit[]} limits */
function steps(limits) {
  const of = (name) => median(limits.map((limit) => limit[`${name}_gb_per_s`])).toFixed(1);
  return `all cores read ${of('read')}, copy ${of('copy')}, hash ${of('hash')} GB/s`;
}
