import t from 'tap';
import { FakeRegistry, ociIndex, ociManifest, sha256, title } from '../../support/fake_registry.js';
import { firstShard, loginFor, ociSource } from '../../support/oci_sources.js';

const weights = Buffer.alloc(300_000, 'weights ');
const dockerGguf = 'application/vnd.docker.ai.gguf.v3';
const ollamaModel = 'application/vnd.ollama.image.model';

t.test('a tag is resolved to a digest, and its file is read by it', async (t) => {
  const registry = await FakeRegistry.start(t);
  const layer = registry.addBlob(weights, dockerGguf, { [title]: 'llama.gguf' });
  const license = registry.addBlob(Buffer.from('MIT'), 'application/vnd.docker.ai.license', { [title]: 'LICENSE' });
  const digest = registry.addManifest('v1', [license, layer]);
  const { resolve } = ociSource({ endpoint: registry.origin });
  const model = await resolve({ reference: 'v1' });
  const host = `127.0.0.1:${registry.port}`;
  t.equal(model.modelRef, `oci://${host}/models/llama@${digest}`);
  t.equal(model.isImmutable, true);
  t.strictSame(model.skipped, ['LICENSE']);
  const [shard] = model.shards;
  t.equal(model.shards.length, 1);
  t.equal(shard?.path, 'llama.gguf');
  t.equal(shard?.bytes, weights.length);
  t.strictSame(shard?.claim, { digest: layer.digest, from: 'descriptor' });
  const pinned = {
    ...({ type: 'oci', registry: host, repository: 'models/llama', reference: digest } as const),
    ...{ name: 'lab', files: ['llama.gguf'] },
  };
  t.strictSame(shard?.pinned, pinned);
  t.strictSame(registry.log, ['GET /v2/models/llama/manifests/v1'], 'no byte of the shard was read');
  t.ok((await firstShard(model)).equals(weights));
  registry.addManifest('v1', []);
  t.ok((await firstShard(await resolve(pinned))).equals(weights), 'the pinned reference still leads to the file');
});

t.test('the request lists the four types, and an endpoint may have a path', async (t) => {
  const registry = await FakeRegistry.start(t);
  registry.addManifest('latest', [registry.addBlob(weights, ollamaModel)]);
  const { resolve } = ociSource({ endpoint: `${registry.origin}/mirror` });
  await resolve();
  t.equal(registry.requests[0]?.url, '/mirror/v2/models/llama/manifests/latest');
  t.strictSame(registry.requests[0]?.headers.accept?.split(', '), [
    'application/vnd.oci.image.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.v2+json',
    'application/vnd.oci.image.index.v1+json',
    'application/vnd.docker.distribution.manifest.list.v2+json',
  ]);
});

t.test('shards are in natural order; nameless ones keep the order of the layers', async (t) => {
  const registry = await FakeRegistry.start(t);
  const blob = (text: string, annotations?: Record<string, string>) =>
    registry.addBlob(Buffer.from(text), dockerGguf, annotations);
  registry.addManifest(
    'named',
    [10, 9, 1].map((part) => blob(`n${part}`, { [title]: `part-${part}.gguf` })),
  );
  const nameless = [1, 2, 3, 4, 5].map((part) => blob(`p${part}`));
  registry.addManifest('nameless', nameless);
  const { resolve } = ociSource({ endpoint: registry.origin });
  const pathsOf = async (reference: string) => (await resolve({ reference })).shards.map(({ path }) => path);
  t.strictSame(await pathsOf('named'), ['part-1.gguf', 'part-9.gguf', 'part-10.gguf']);
  t.strictSame(
    await pathsOf('nameless'),
    nameless.map(({ digest }) => `${digest.replace(':', '-')}.gguf`),
  );
});

t.test('an index with one manifest is followed, and the manifest is pinned', async (t) => {
  const registry = await FakeRegistry.start(t);
  const digest = registry.addManifest('x', [registry.addBlob(weights, ollamaModel)]);
  const entry = { mediaType: ociManifest, digest, size: 0 };
  const attestation = {
    ...{ mediaType: ociManifest, digest: sha256(Buffer.from('a')), size: 2 },
    annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
  };
  const other = registry.addManifest('y', [registry.addBlob(Buffer.from('other'), ollamaModel)]);
  const { resolve } = ociSource({ endpoint: registry.origin });
  const bytes = await fetch(`${registry.origin}/v2/a/manifests/${digest}`).then((answer) => answer.arrayBuffer());
  const whole = { ...entry, size: bytes.byteLength };
  const add = (tag: string, ...manifests: readonly unknown[]) =>
    registry.addDocument(tag, { schemaVersion: 2, mediaType: ociIndex, manifests });
  add('one', attestation, whole, whole);
  t.match((await resolve({ reference: 'one' })).modelRef, `@${digest}`);
  const { resolve: withLogin } = ociSource({
    endpoint: registry.origin,
    files: loginFor(`127.0.0.1:${registry.port}`),
  });
  await withLogin({ reference: 'one' });
  t.equal(registry.log.filter((line) => line === 'GET /v2/').length, 1, 'the challenge is asked for once');
  add('two', whole, { ...whole, digest: other });
  await t.rejects(resolve({ reference: 'two' }), { code: 'SOURCE_UNSUPPORTED', message: /lists 2 manifests/ });
  add('none', attestation);
  await t.rejects(resolve({ reference: 'none' }), { code: 'SOURCE_UNSUPPORTED', message: /lists 0 manifests/ });
  add('wrong-size', entry);
  await t.rejects(resolve({ reference: 'wrong-size' }), { code: 'SOURCE_INVALID', message: /another length/ });
});

t.test('files selects layers by name or pattern', async (t) => {
  const registry = await FakeRegistry.start(t);
  const file = (path: string) => registry.addBlob(Buffer.from(path), 'application/octet-stream', { [title]: path });
  registry.addManifest('latest', ['a-Q4.gguf', 'a-Q8.gguf', 'model.bin', 'README.md'].map(file));
  const { resolve } = ociSource({ endpoint: registry.origin });
  const select = async (...files: readonly string[]) =>
    (await resolve({ files: [...files] })).shards.map(({ path }) => path);
  t.strictSame(await select('*Q4*'), ['a-Q4.gguf']);
  t.strictSame(await select('model.bin'), ['model.bin']);
  await t.rejects(select('b.gguf'), { code: 'SOURCE_NOT_FOUND' });
});

t.test('an artifact without raw weights is refused', async (t) => {
  const registry = await FakeRegistry.start(t);
  const tar = registry.addBlob(weights, 'application/vnd.cncf.model.weight.v1.tar+gzip', { [title]: 'model' });
  registry.addManifest('packed', [tar]);
  registry.addManifest('image', [registry.addBlob(weights, 'application/vnd.oci.image.layer.v1.tar+gzip')]);
  registry.addManifest('empty', []);
  registry.addManifest('mixed', [tar, registry.addBlob(weights, ollamaModel)]);
  const { resolve } = ociSource({ endpoint: registry.origin });
  for (const reference of ['packed', 'image', 'empty', 'mixed']) {
    await t.rejects(resolve({ reference }), { code: 'SOURCE_UNSUPPORTED' }, reference);
  }
});

t.test('the settings decide which repositories and references may be read', async (t) => {
  const registry = await FakeRegistry.start(t);
  const digest = registry.addManifest('latest', [registry.addBlob(weights, ollamaModel)]);
  const settings = { repos: ['models/*', 'exact'], revisions: 'commit' } as const;
  const { resolve } = ociSource({
    endpoint: registry.origin,
    settings: { ...settings, repos: [...settings.repos] },
  });
  await resolve({ reference: digest });
  await resolve({ repository: 'exact', reference: digest });
  for (const repository of ['other/llama', 'models/a/b', 'models', 'exact/x']) {
    await t.rejects(resolve({ repository, reference: digest }), { code: 'SOURCE_FORBIDDEN' }, repository);
  }
  for (const reference of ['latest', undefined]) {
    await t.rejects(resolve(reference === undefined ? {} : { reference }), {
      code: 'SOURCE_FORBIDDEN',
      message: /accepts only digests/,
    });
  }
  t.equal(registry.requests.length, 2);
});

t.test('a repository and a reference that could change the URL are refused before any request', async (t) => {
  const registry = await FakeRegistry.start(t);
  const { resolve } = ociSource({ endpoint: registry.origin });
  for (const repository of [
    '..',
    'a/..',
    'a/../b',
    './a',
    'a//b',
    '/a',
    'a/',
    'a b',
    'a?b',
    'a#b',
    '%2e%2e',
    'a/.b',
    '',
  ]) {
    await t.rejects(resolve({ repository }), { code: 'INVALID_PARAMS' }, repository);
  }
  const hex = 'a'.repeat(64);
  for (const reference of [
    '',
    '..',
    '../x',
    'a/b',
    'a?b',
    `sha256:${hex}/..`,
    `sha256:${hex}0`,
    `sha256:${'A'.repeat(64)}`,
    `sha512:${hex}${hex}`,
    'x'.repeat(129),
    'ü',
  ]) {
    await t.rejects(resolve({ reference }), { code: 'INVALID_PARAMS' }, reference);
  }
  t.equal(registry.requests.length, 0);
});

t.test('a registry without ranges says so, and what it does not have is not found', async (t) => {
  const registry = await FakeRegistry.start(t);
  const layer = registry.addBlob(weights, ollamaModel);
  registry.addManifest('latest', [layer]);
  registry.addManifest('lost', [{ ...layer, digest: sha256(Buffer.from('lost')) }]);
  const { resolve } = ociSource({ endpoint: registry.origin });
  const signal = new AbortController().signal;
  const [shard] = (await resolve()).shards;
  t.equal((await shard?.open({ signal }))?.supportsRanges, true);
  registry.intercept = (request, response) => {
    if (request.headers.range === undefined) return false;
    response.writeHead(200, { 'Content-Length': weights.length }).end(weights);
    return true;
  };
  t.equal((await shard?.open({ signal }))?.supportsRanges, false);
  registry.intercept = () => false;
  await t.rejects(resolve({ reference: 'missing' }), { code: 'SOURCE_NOT_FOUND', message: /no such repository/ });
  const [lost] = (await resolve({ reference: 'lost' })).shards;
  await t.rejects(Promise.resolve(lost?.open({ signal })), {
    code: 'SOURCE_NOT_FOUND',
    message: /does not have a blob/,
  });
});
