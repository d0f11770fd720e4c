import t, { type Test } from 'tap';
import { anySignal, MemorySink } from '../../support/http_sources.js';
import { git, HubRepository, lfs, sha256 } from '../../support/hub/repository.js';
import { startHub } from '../../support/hub/server.js';
import { contentOf, hubSource } from '../../support/hub/source.js';

const index = git('model.safetensors.index.json', '{"weight_map":{}}');
const shardOf = (number: number) =>
  lfs(`model-0000${number}-of-00002.safetensors`, Buffer.alloc(700_000, `weights ${number} `));
const files = [git('README.md', '# card'), git('LICENSE', 'MIT'), shardOf(2), shardOf(1), index];
const paths = (entries: readonly { readonly path: string }[]) => entries.map(({ path }) => path);

async function start(t: Test, content = files, pageSize = 1000) {
  const hub = await startHub(t, { pageSize });
  const repository = new HubRepository('org/name');
  const commit = repository.commit(content);
  hub.add(repository);
  return { hub, repository, commit };
}

t.test('a repository is resolved once to a commit, with the digests of its weights', async (t) => {
  const { hub, commit } = await start(t, files, 2);
  const model = await hubSource(hub).resolve({ repo: 'org/name' });
  t.match(model, { modelRef: `hf://org/name@${commit.sha}`, isImmutable: true, skipped: ['LICENSE', 'README.md'] });
  t.strictSame(
    model.shards.map(({ path, bytes, claim, pinned }) => ({ path, bytes, claim, pinned })),
    [shardOf(1), shardOf(2)].map(({ path, content }) => ({
      path,
      bytes: content.length,
      claim: { digest: `sha256:${sha256(content)}`, from: 'lfs' },
      pinned: { type: 'hf', name: 'hub', repo: 'org/name', revision: commit.sha, files: [path] },
    })),
  );
  t.strictSame(paths(model.indexes), [index.path]);
  const [first, ...rest] = hub.requests.map(({ target }) => target);
  t.equal(first, '/api/models/org/name/revision/main');
  t.equal(rest.length, 3, 'three pages');
  t.ok(rest.every((target) => target.startsWith(`/api/models/org/name/tree/${commit.sha}?`)));
});

t.test('files are read from any offset, always by range, and by the commit', async (t) => {
  const { hub, commit, repository } = await start(t);
  const { shards, indexes } = await hubSource(hub).resolve({ repo: 'org/name' });
  repository.commit([git('README.md', 'the branch has moved')]);
  t.ok((await contentOf(shards[0])).equals(shardOf(1).content));
  t.ok((await contentOf(indexes[0])).equals(index.content));
  const source = await shards[1]?.open({ signal: anySignal() });
  t.match(source, { totalBytes: 700_000, supportsRanges: true, claim: { from: 'lfs' } });
  const sink = new MemorySink();
  await source?.copyTo(sink, { offset: 699_000, length: 500 }, { signal: anySignal() });
  t.ok(sink.content.equals(shardOf(2).content.subarray(699_000, 699_500)));
  const downloads = hub.requests.filter(({ host, target }) => host === 'cdn' || target.includes('/resolve/'));
  t.ok(downloads.every(({ range }) => range !== undefined));
  t.ok(downloads.every(({ host, target }) => host === 'cdn' || target.includes(commit.sha)));
});

t.test('a pinned reference resolves to the same file after its branch has moved', async (t) => {
  const { hub, repository } = await start(t);
  const { resolve } = hubSource(hub, { settings: { revisions: 'commit' } });
  await t.rejects(resolve({ repo: 'org/name' }), { code: 'SOURCE_FORBIDDEN' });
  const { shards } = await hubSource(hub).resolve({ repo: 'org/name' });
  repository.commit([lfs('other.gguf', 'other')]);
  const [, second] = shards;
  if (second?.pinned?.type !== 'hf') return t.fail('there is no reference');
  const again = await resolve(second.pinned);
  t.strictSame(
    again.shards.map(({ path, claim, pinned }) => [path, claim, pinned]),
    [[second.path, second.claim, second.pinned]],
  );
});

t.test('files are chosen by patterns, and a pattern that matches nothing is named', async (t) => {
  const content = [
    git('README.md', ''),
    lfs('name-Q4_K_M.gguf', 'a'),
    lfs('name-Q8_0.gguf', 'b'),
    lfs('F16/name-F16-00010-of-00011.gguf', 'c'),
    lfs('F16/name-F16-00009-of-00011.gguf', 'd'),
    lfs('a*.gguf', 'e'),
    lfs('weights.bin', 'f'),
  ];
  const { hub } = await start(t, content);
  const { resolve } = hubSource(hub);
  const chosen = async (...names: string[]) => paths((await resolve({ repo: 'org/name', files: names })).shards);
  t.strictSame(await chosen('*Q4_K_M*.gguf'), ['name-Q4_K_M.gguf']);
  t.strictSame(await chosen('*F16*.gguf'), ['F16/name-F16-00009-of-00011.gguf', 'F16/name-F16-00010-of-00011.gguf']);
  t.strictSame(await chosen('F16/*.gguf', 'weights.bin'), [
    'F16/name-F16-00009-of-00011.gguf',
    'F16/name-F16-00010-of-00011.gguf',
    'weights.bin',
  ]);
  t.strictSame(await chosen('a*.gguf'), ['a*.gguf'], 'a path that exists is no pattern');
  t.equal((await resolve({ repo: 'org/name' })).shards.length, 5, 'by default all weights');
  for (const name of ['*Q5*.gguf', 'missing.gguf', 'F16/*.safetensors', 'q4']) {
    await t.rejects(resolve({ repo: 'org/name', files: ['*Q4_K_M*', name] }), {
      code: 'SOURCE_NOT_FOUND',
      message: `No file of the model matches ${name}`,
    });
  }
});

t.test('an index that is named alone selects the safetensors files next to it', async (t) => {
  const content = [...files, lfs('other/x.safetensors', 'x'), lfs('model.gguf', 'y')];
  const { hub } = await start(t, content);
  const { shards, indexes } = await hubSource(hub).resolve({ repo: 'org/name', files: [index.path] });
  t.strictSame(paths(indexes), [index.path]);
  t.strictSame(paths(shards), [shardOf(1).path, shardOf(2).path]);
});

t.test('a long index, which LFS stores, is checked by its SHA-256', async (t) => {
  const long = lfs(index.path, `{"weight_map":{}${' '.repeat(300_000)}}`);
  const { hub } = await start(t, [shardOf(1), long]);
  const { indexes } = await hubSource(hub).resolve({ repo: 'org/name' });
  t.match(indexes[0]?.claim, { digest: `sha256:${sha256(long.content)}` });
  t.ok((await contentOf(indexes[0])).equals(long.content));
  hub.faults.content = (content) => Buffer.alloc(content.length, ' ');
  await t.rejects(contentOf(indexes[0]), { code: 'SOURCE_INVALID', message: /do not have the digest/ });
});

t.test('weights that Git stores are no shards', async (t) => {
  const { hub } = await start(t, [
    git('tiny.safetensors', 'tiny'),
    lfs('model.gguf', 'model'),
    git('b-00001-of-00002.gguf', '1'),
  ]);
  const { resolve } = hubSource(hub);
  const wanted = async (...names: string[]) => resolve({ repo: 'org/name', files: names });
  t.strictSame(await wanted('*.gguf', 'model.gguf').catch(({ code, message }) => [code, message]), [
    'SOURCE_UNSUPPORTED',
    'The repository states no SHA-256 of b-00001-of-00002.gguf: it is stored in Git',
  ]);
  const skipping = await wanted('*m*');
  t.strictSame(
    [paths(skipping.shards), skipping.skipped],
    [['model.gguf'], ['b-00001-of-00002.gguf', 'tiny.safetensors']],
  );
  for (const names of [['tiny.safetensors'], ['tiny.safetensors', 'model.gguf']]) {
    await t.rejects(wanted(...names), { code: 'SOURCE_UNSUPPORTED', message: /tiny\.safetensors/ });
  }
  await t.rejects(wanted('tiny.safe*'), { code: 'SOURCE_UNSUPPORTED', message: /tiny\.safetensors/ });
});

t.test('a repository without weights, and an empty file, are refused by name', async (t) => {
  const { hub } = await start(t, [git('README.md', 'x')]);
  await t.rejects(hubSource(hub).resolve({ repo: 'org/name' }), { code: 'SOURCE_NOT_FOUND', message: /\*\.gguf/ });
  const { hub: other } = await start(t, [lfs('empty.gguf', '')]);
  await t.rejects(hubSource(other).resolve({ repo: 'org/name' }), {
    code: 'SOURCE_UNSUPPORTED',
    message: /empty\.gguf/,
  });
});

t.test('the answer of the hub says why a repository cannot be read', async (t) => {
  const { hub } = await start(t);
  const { resolve } = hubSource(hub);
  const cases = [
    [404, 'RepoNotFound', 'SOURCE_NOT_FOUND', /org\/name does not exist, or it is private/],
    [401, 'RepoNotFound', 'SOURCE_NOT_FOUND', /org\/name does not exist, or it is private/],
    [404, 'RevisionNotFound', 'SOURCE_NOT_FOUND', /has no revision v1/],
    [404, 'EntryNotFound', 'SOURCE_NOT_FOUND', /has no file/],
    [403, 'GatedRepo', 'SOURCE_AUTH_FAILED', /gated: accept its terms/],
    [401, 'GatedRepo', 'SOURCE_AUTH_FAILED', /gated: accept its terms/],
    [401, undefined, 'SOURCE_AUTH_FAILED', /private, gated or missing/],
    [403, undefined, 'SOURCE_AUTH_FAILED', /token of the source does not allow/],
    [404, undefined, 'SOURCE_NOT_FOUND', /status 404/],
  ] as const;
  for (const [status, code, expected, message] of cases) {
    hub.faults.api = code === undefined ? { status } : { status, code };
    await t.rejects(resolve({ repo: 'org/name', revision: 'v1' }), { code: expected, message }, `${status} ${code}`);
  }
  hub.faults.api = { status: 403, message: 'Access to this resource is disabled.' };
  await t.rejects(resolve({ repo: 'org/name' }), { code: 'SOURCE_AUTH_FAILED', message: /disabled/ });
  hub.faults.api = undefined;
  await t.rejects(resolve({ repo: 'org/other' }), { code: 'SOURCE_NOT_FOUND', message: /org\/other/ });
  await t.rejects(resolve({ repo: 'org/name', revision: 'v2' }), { code: 'SOURCE_NOT_FOUND', message: /v2/ });
});

t.test('the hub alone gets the token, also for a revision with a slash', async (t) => {
  const hub = await startHub(t, { token: 'hf_secret' });
  const repository = new HubRepository('org/private');
  repository.commit([lfs('model.gguf', 'private weights')], 'refs/pr/1');
  hub.add(repository);
  await t.rejects(hubSource(hub).resolve({ repo: 'org/private', revision: 'refs/pr/1' }), {
    code: 'SOURCE_AUTH_FAILED',
  });
  const { shards } = await hubSource(hub, { token: 'hf_secret' }).resolve({
    repo: 'org/private',
    revision: 'refs/pr/1',
  });
  t.equal((await contentOf(shards[0])).toString(), 'private weights');
  const withToken = hub.requests.filter(({ authorization }) => authorization !== undefined);
  t.ok(withToken.length >= 3 && withToken.every(({ host }) => host === 'hub'));
});

t.test('a renamed repository is followed, and the resolved reference has its new name', async (t) => {
  const { hub, commit } = await start(t);
  hub.rename('gpt2', 'org/name');
  const { modelRef, shards } = await hubSource(hub).resolve({ repo: 'gpt2' });
  t.equal(modelRef, `hf://org/name@${commit.sha}`);
  t.match(shards[0]?.pinned, { repo: 'org/name' });
  t.ok((await contentOf(shards[0])).equals(shardOf(1).content));
  const before = hubSource(hub, { settings: { repos: ['gpt2'] } });
  await t.rejects(before.resolve({ repo: 'gpt2' }), { code: 'SOURCE_FORBIDDEN', message: /renamed to org\/name/ });
});

t.test('a mirror may repeat links of the original host', async (t) => {
  const { hub, commit } = await start(t, files, 2);
  hub.faults.linkOrigin = 'https://huggingface.co';
  const { modelRef, shards, indexes } = await hubSource(hub).resolve({ repo: 'org/name' });
  t.equal(modelRef, `hf://org/name@${commit.sha}`);
  t.ok((await contentOf(shards[0])).equals(shardOf(1).content));
  t.ok((await contentOf(indexes[0])).equals(index.content));
});

t.test('a mirror may send the files itself, if it states their commit', async (t) => {
  const { hub } = await start(t);
  const { shards } = await hubSource(hub).resolve({ repo: 'org/name' });
  hub.faults.isDirect = true;
  hub.faults.answer = { 'X-Linked-ETag': undefined, 'X-Linked-Size': undefined, ETag: '"of the mirror"' };
  t.ok((await contentOf(shards[0])).equals(shardOf(1).content));
  t.equal(hub.requests.filter(({ host }) => host === 'cdn').length, 0);
  hub.faults.answer = { 'X-Repo-Commit': undefined };
  await t.rejects(contentOf(shards[0]), { code: 'SOURCE_INVALID', message: /X-Repo-Commit/ });
});

t.test('the settings restrict repositories, before a request', async (t) => {
  const { hub } = await start(t);
  for (const [repos, isAllowed] of [
    [['org/*'], true],
    [['*'], true],
    [['org/name'], true],
    [['or*/name'], true],
    [['other/*', 'org'], false],
    [['*/nam'], false],
  ] as const) {
    hub.requests.length = 0;
    const resolved = hubSource(hub, { settings: { repos: [...repos] } }).resolve({ repo: 'org/name' });
    if (isAllowed) await resolved;
    else await t.rejects(resolved, { code: 'SOURCE_FORBIDDEN' });
    t.equal(hub.requests.length > 0, isAllowed, repos.join());
  }
});

t.test('names that could leave their place in a URL are refused without a request', async (t) => {
  const { hub } = await start(t);
  const { resolve } = hubSource(hub);
  for (const repo of [
    '..',
    'org/..',
    '../x',
    'a/b/c',
    'org/na--me',
    'org/x.git',
    '.x/y',
    'a/',
    '-a/b',
    'a..b/c',
    'x'.repeat(97),
  ]) {
    await t.rejects(resolve({ repo }), { code: 'INVALID_PARAMS' }, repo);
  }
  for (const revision of [
    '..',
    '../main',
    'a/../b',
    '.',
    'a//b',
    '/a',
    'a/',
    'a b',
    'a?x',
    'a#b\u0001',
    'a^',
    'x.lock',
    '@{0}',
    '-x',
    'a\\b',
  ]) {
    await t.rejects(resolve({ repo: 'org/name', revision }), { code: 'INVALID_PARAMS' }, revision);
  }
  t.equal(hub.requests.length, 0);
});
