import { startBareServer, startRegistry } from '../baselines/servers.mjs';
import { openssl } from '../baselines/tools.mjs';
import { freshContent } from '../content.mjs';
import { alternate } from '../rounds.mjs';
import { rate } from '../row.mjs';
import { Worker } from '../worker.mjs';

/**
 * Commit by upload with `curl -T`, compared with hashing the same file, and with servers that receive the same upload.
 * @param {import('../bench.mjs').Context} context
 */
export async function upload({ options, workspace, tools }) {
  const { rounds, sizeBytes } = options;
  const { missing } = tools['docker-registry'];
  const fresh = () => freshContent(workspace.models, 'upload', sizeBytes);
  const worker = await Worker.start(workspace);
  const bare = await startBareServer();
  const registry = missing === undefined ? await startRegistry(workspace.make('registry')) : undefined;
  const commit = (flat) => async (content) => {
    const seconds = await worker.upload('upload', content, flat);
    await worker.release('upload');
    return seconds;
  };

  await commit(true)(fresh()); // warm-up: allocates the device's memory
  const baselines = { bare: bare.upload, ...(tools.openssl.missing === undefined && { openssl }) };
  const both = await alternate(rounds, fresh, {
    product: commit(true),
    ...baselines,
    ...(registry && { registry: registry.upload }),
  });
  const tree = await alternate(rounds, fresh, { product: commit(false), ...baselines });
  for (const server of [worker, bare, registry]) await server?.stop();

  const rowsOf = (path, samples, comparisons) =>
    Object.entries(comparisons).map(([name, comparison]) => ({
      path,
      better: 'higher',
      product: rate(sizeBytes, samples.product),
      ...(samples[name] ? { baselineSeries: rate(sizeBytes, samples[name]) } : { missing: reasons[name] }),
      ...comparison,
    }));
  const reasons = { openssl: tools.openssl.missing, registry: missing };
  const hashing = { baseline: 'openssl dgst -sha256' };
  // Its rate changes by half within minutes, so it has no limit.
  const receiving = { baseline: 'bare Node server' };
  return [
    ...rowsOf('commit by upload, flat + tree', both, {
      openssl: { ...hashing, required: 0.6, target: 0.75 },
      bare: receiving,
      registry: { baseline: 'docker-registry (Go without SHA instructions)', required: 4, target: 6 },
    }),
    ...rowsOf('commit by upload, flat_digest=false', tree, {
      openssl: { ...hashing, required: 1, target: 1.4 },
      bare: receiving,
    }),
  ];
}
