import { existsSync } from 'node:fs';
import { startNginx } from '../baselines/sources.mjs';
import { timeProcess } from '../processes.mjs';
import { compare, download, limitNote, rowOf, skip, startWorker } from '../source_rows.mjs';

/** Commits by http and https, compared with programs that only download. @param {import('../bench.mjs').Context} context */
export async function http({ options, workspace }) {
  if (!existsSync('/usr/sbin/nginx')) return skip('commits by http', 'nginx is not installed');
  const nginx = await startNginx(workspace.make('nginx'), workspace.models);
  const common = { type: 'http', addresses: ['127.0.0.0/8'], digest: 'allow' };
  const worker = await startWorker(workspace, [
    { name: 'web', prefixes: [`${nginx.url}/`], ...common },
    { name: 'tls', prefixes: [`${nginx.tlsUrl}/`], ca_file: nginx.certificate, ...common },
  ]);
  const measured = { options, workspace };
  const rows = [
    ...(await plain(measured, worker, `${nginx.url}/model`)),
    await tls(measured, worker, `${nginx.tlsUrl}/model`),
  ];
  for (const server of [worker, nginx]) await server.stop();
  return rows;
}

async function plain(measured, worker, url) {
  const { options } = measured;
  const source = { type: 'http', url };
  const openssl = async () =>
    (await timeProcess('sh', ['-c', `curl -s --noproxy '*' ${url} | openssl dgst -sha256`])).seconds;
  const both = await compare(measured, worker, { source, baseline: openssl });
  const tree = await compare(measured, worker, { source, flat: false, baseline: () => download(url) });
  const row = rowOf(options, 'commit by http, flat + tree', both, 'curl to openssl dgst -sha256', 0.9);
  return [
    { ...row, ...limitNote(options, both) },
    rowOf(options, 'commit by http, flat_digest=false', tree, 'curl -o /dev/null', 0.7),
  ];
}

async function tls(measured, worker, url) {
  const { options } = measured;
  const samples = await compare(measured, worker, {
    source: { type: 'http', url },
    baseline: () => download(url, ['-k']),
  });
  const row = rowOf(options, 'commit by https, flat + tree, one connection', samples, 'curl -k -o /dev/null', 0.33);
  return { ...row, ...limitNote(options, samples) };
}
