import t from 'tap';
import { clientFetch } from '../../support/hub/client_fetch.js';
import { git, gitId, HubRepository, lfs, sha256, xetHashOf } from '../../support/hub/repository.js';
import { startHub } from '../../support/hub/server.js';
import { requireTool, unlessTool } from '../../support/tools.js';

const weights = lfs('sub/model.gguf', 'weights '.repeat(500));
const card = git('README.md', '# card');

const name = '@huggingface/hub';

t.test('the library of the hub accepts the answers of the fixture', unlessTool(name), async (t) => {
  const library: typeof import('@huggingface/hub') = requireTool(name);
  const { downloadFile, fileDownloadInfo, listFiles, modelInfo, pathsInfo } = library;
  const hub = await startHub(t, { pageSize: 2 });
  const repository = new HubRepository('org/name');
  const { sha } = repository.commit([card, git('LICENSE', 'MIT'), git('config.json', '{}'), weights]);
  hub.add(repository);
  const at = { repo: 'org/name', hubUrl: hub.endpoint, fetch: clientFetch(hub) };

  const listed = [];
  for await (const file of listFiles({ ...at, recursive: true })) listed.push(file);
  t.same(
    listed.map(({ path, type }) => `${type} ${path}`),
    ['directory sub', 'file README.md', 'file LICENSE', 'file config.json', 'file sub/model.gguf'],
    'over three pages',
  );
  const [info] = await pathsInfo({ ...at, paths: [weights.path] });
  t.match(info, { path: weights.path, size: weights.content.length, xetHash: xetHashOf(weights) });
  t.match(info?.lfs, { oid: sha256(weights.content), size: weights.content.length });
  t.match(listed.at(-1), { ...info, securityFileStatus: undefined });

  const model = await modelInfo({
    name: 'org/name',
    hubUrl: hub.endpoint,
    fetch: at.fetch,
    revision: sha,
    additionalFields: ['sha'],
  });
  t.equal(model.sha, sha);

  const small = await fileDownloadInfo({ ...at, path: card.path });
  t.match(small, { size: card.content.length, etag: `"${gitId(card.content)}"` });
  const large = await fileDownloadInfo({ ...at, path: weights.path });
  t.equal(large?.size, weights.content.length);
  t.equal(large?.etag, `"${xetHashOf(weights)}"`, 'the ETag after the redirect is the Xet hash, as at the hub');
  t.equal(await fileDownloadInfo({ ...at, path: 'missing' }), null);
  for (const file of [card, weights]) {
    const blob = await downloadFile({ ...at, path: file.path });
    t.ok(Buffer.from((await blob?.arrayBuffer()) ?? new ArrayBuffer(0)).equals(file.content), file.path);
  }
  await t.rejects(pathsInfo({ ...at, repo: 'org/other', paths: ['x'] }), { message: /404|said by the hub/ });
  t.ok(hub.requests.filter(({ host }) => host === 'cdn').every(({ authorization }) => authorization === undefined));
});
