import { freshContent } from '../content.mjs';
import { alternate } from '../rounds.mjs';
import { rate } from '../row.mjs';
import { Worker } from '../worker.mjs';
import { startBareServer, startRegistry } from '../yardsticks/servers.mjs';

/** Commit by upload, `curl -T`, against servers that take the same upload. @param {import('../bench.mjs').Context} context */
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

  await commit(true)(fresh()); // the warm-up round: the device's memory is touched
  const both = await alternate(rounds, fresh, {
    product: commit(true),
    bare: bare.upload,
    ...(registry && { registry: registry.upload }),
  });
  const tree = await alternate(rounds, fresh, { product: commit(false), bare: bare.upload });
  for (const server of [worker, bare, registry]) await server?.stop();

  const row = { path: 'commit by upload, flat + tree', better: 'higher', product: rate(sizeBytes, both.product) };
  return [
    { ...row, yardstick: 'bare Node server', reference: rate(sizeBytes, both.bare), mustReach: 0.42, aim: 0.5 },
    {
      ...row,
      yardstick: 'docker-registry (Go without SHA instructions)',
      ...(both.registry ? { reference: rate(sizeBytes, both.registry) } : { missing }),
      mustReach: 4,
      aim: 6,
    },
    {
      ...row,
      path: 'commit by upload, flat_digest=false',
      product: rate(sizeBytes, tree.product),
      yardstick: 'bare Node server',
      reference: rate(sizeBytes, tree.bare),
      mustReach: 0.58,
      aim: 0.7,
    },
  ];
}
