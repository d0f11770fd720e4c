import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AwsClient } from 'aws4fetch';
import { startCeph, startSlowProxy } from '../baselines/sources.mjs';
import { freshContent } from '../content.mjs';
import { timeProcess } from '../processes.mjs';
import { compare, curl, download, limitNote, rowOf, skip, slowly, startWorker } from '../source_rows.mjs';

/** The model, the previous one until the gateway has deleted it, and space that Ceph keeps free. */
const objects = 4;

/** Commits from Ceph's gateway: with both digests, with the tree alone, and over slow connections. */
export async function s3(measured) {
  const { options, workspace } = measured;
  const path = 'commit by s3 (radosgw)';
  const ceph = await startCeph(objects * options.sizeBytes);
  if (ceph === undefined) return skip(path, 'Ceph cannot be downloaded, or `npm run build:test` has not run');
  const endpoint = `http://127.0.0.1:${ceph.port}`;
  const proxy = await startSlowProxy(workspace.make('s3-proxy'), endpoint);
  const worker = await startWorker(
    workspace,
    sourcesOf(workspace, ceph.keys, { ceph: endpoint, 'slow-ceph': proxy.url }),
  );
  const sign = signerOf(ceph.keys);
  const put = (args) => timeProcess('curl', [...curl, '-f', ...args], 120);
  await put(['-X', 'PUT', await sign('PUT', `${endpoint}/models`)]);
  const fresh = async (bytes = options.sizeBytes) => {
    const content = freshContent(workspace.models, 'model', bytes);
    await put(['-T', content.path, await sign('PUT', `${endpoint}/models/model`)]);
    return content;
  };
  const source = { type: 's3', name: 'ceph', bucket: 'models', key: 'model' };
  const baseline = async () => download(await sign('GET', `${endpoint}/models/model`));
  const both = await compare(measured, worker, { source, baseline, fresh: () => fresh() });
  const tree = await compare(measured, worker, { source, flat: false, baseline, fresh: () => fresh() });
  const urlOf = () => sign('GET', `${proxy.url}/models/model`);
  const slow = await slowly(measured, worker, { name: 's3', source: { ...source, name: 'slow-ceph' }, urlOf, fresh });
  for (const server of [worker, proxy, ceph]) await server.stop();
  const compared = 'curl of a presigned URL';
  return [
    { ...rowOf(options, `${path}, flat + tree`, both, compared, 0.85), ...limitNote(options, both) },
    rowOf(options, `${path}, flat_digest=false`, tree, compared),
    slow,
  ];
}

function sourcesOf(workspace, { accessKeyId, secret }, endpoints) {
  const file = join(workspace.directory, 's3.json');
  writeFileSync(file, JSON.stringify({ access_key_id: accessKeyId, secret_access_key: secret }), { mode: 0o600 });
  const settings = { region: 'us-east-1', path_style: true, credentials_file: file, addresses: ['127.0.0.0/8'] };
  return Object.entries(endpoints).map(([name, endpoint]) => ({
    name,
    type: 's3',
    endpoint,
    ...settings,
    digest: 'allow',
  }));
}

/** Makes presigned URLs. */
function signerOf({ accessKeyId, secret }) {
  const client = new AwsClient({ accessKeyId, secretAccessKey: secret, service: 's3', region: 'us-east-1' });
  return async (method, url) =>
    (await client.sign(`${url}?X-Amz-Expires=3600`, { method, aws: { signQuery: true } })).url;
}
