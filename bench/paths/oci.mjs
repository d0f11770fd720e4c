import { existsSync, rmSync } from 'node:fs';
import { startRegistry } from '../baselines/servers.mjs';
import { startSlowProxy } from '../baselines/sources.mjs';
import { freshContent } from '../content.mjs';
import { timeProcess } from '../processes.mjs';
import { compare, limitNote, rowOf, skip, slowly, startWorker } from '../source_rows.mjs';

const loopback = { addresses: ['127.0.0.0/8'] };

/** Commits from a registry: the whole of a layer, and over slow connections. */
export async function oci(measured) {
  const { options, workspace, tools } = measured;
  const path = 'commit by oci, flat + tree';
  const { missing } = tools['docker-registry'];
  if (missing !== undefined) return skip(path, missing);
  if (!existsSync('/usr/bin/skopeo')) return skip(path, 'skopeo is not installed');
  const registry = await startRegistry(workspace.make('oci-registry'));
  const proxy = await startSlowProxy(workspace.make('oci-proxy'), registry.url);
  const worker = await startWorker(workspace, [
    { name: 'registry', type: 'oci', endpoint: registry.url, ...loopback },
    { name: 'slow-registry', type: 'oci', endpoint: proxy.url, ...loopback },
  ]);
  const source = { type: 'oci', name: 'registry', repository: 'bench', reference: 'latest' };
  const fresh = async (bytes = options.sizeBytes) => {
    const content = freshContent(workspace.models, 'model', bytes);
    await registry.push(content);
    return content;
  };
  const baseline = skopeo(new URL(registry.url).host, workspace.make('copies'));
  const samples = await compare(measured, worker, { source, baseline, fresh: () => fresh() });
  const urlOf = ({ digest }) => `${proxy.url}/v2/bench/blobs/sha256:${digest}`;
  const slow = await slowly(measured, worker, {
    name: 'oci',
    source: { ...source, name: 'slow-registry' },
    urlOf,
    fresh,
  });
  for (const server of [worker, proxy, registry]) await server.stop();
  return [{ ...rowOf(options, path, samples, 'skopeo copy to dir:', 3), ...limitNote(options, samples) }, slow];
}

const skopeo = (host, copies) => async () => {
  const from = `docker://${host}/bench:latest`;
  const { seconds } = await timeProcess('skopeo', ['copy', '-q', '--src-tls-verify=false', from, `dir:${copies}`]);
  rmSync(copies, { recursive: true, force: true });
  return seconds;
};
