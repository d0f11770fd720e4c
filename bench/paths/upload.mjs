import { startBareServer, startRegistry } from '../baselines/servers.mjs';
import { freshContent } from '../content.mjs';
import { alternate } from '../rounds.mjs';
import { rate } from '../row.mjs';
import { Worker } from '../worker.mjs';

/** Commit by upload with `curl -T`, compared with servers that receive the same upload. @param {import('../bench.mjs').Context} context */
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
  const both = await alternate(rounds, fresh, {
    product: commit(true),
    bare: bare.upload,
    ...(registry && { registry: registry.upload }),
  });
  const tree = await alternate(rounds, fresh, { product: commit(false), bare: bare.upload });
  for (const server of [worker, bare, registry]) await server?.stop();

  const row = { path: 'commit by upload, flat + tree', better: 'higher', product: rate(sizeBytes, both.product) };
  return [
    { ...row, baseline: 'bare Node server', baselineSeries: rate(sizeBytes, both.bare), required: 0.42, target: 0.5 },
    {
      ...row,
      baseline: 'docker-registry (Go without SHA instructions)',
      ...(both.registry ? { baselineSeries: rate(sizeBytes, both.registry) } : { missing }),
      required: 4,
      target: 6,
    },
    {
      ...row,
      path: 'commit by upload, flat_digest=false',
      product: rate(sizeBytes, tree.product),
      baseline: 'bare Node server',
      baselineSeries: rate(sizeBytes, tree.bare),
      required: 0.58,
      target: 0.7,
    },
  ];
}
