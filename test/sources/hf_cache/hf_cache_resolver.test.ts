import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { HostFiles } from '../../../src/residency/source/host_files.js';
import { HfCacheResolver } from '../../../src/sources/hf_cache/hf_cache_resolver.js';
import type { HfCacheReference } from '../../../src/sources/reference.js';
import { Driver } from '../../../src/vram/driver.js';
import { driverOptions } from '../../support/driver_options.js';
import { anySignal } from '../../support/http_sources.js';
import { writeCache } from '../../support/hub/cache.js';
import { clientFetch } from '../../support/hub/client_fetch.js';
import { git, type HubFile, HubRepository, lfs, sha256 } from '../../support/hub/repository.js';
import { startHub } from '../../support/hub/server.js';
import { contentOf } from '../../support/hub/source.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { requireTool, unlessTool } from '../../support/tools.js';

const index = git('model.safetensors.index.json', '{"weight_map":{}}');
const first = lfs('model-00001-of-00002.safetensors', 'first '.repeat(1000));
const second = lfs('sub/model-00002-of-00002.gguf', 'second '.repeat(1000));
const files = [git('README.md', '# card'), second, first, index];
const other = 'a'.repeat(64);

/** A cache, read by libvram. */
async function start(t: Test, content: readonly HubFile[] = files) {
  const cache = temporaryDirectory(t);
  const commit = writeCache(cache, 'org/name', content);
  const driver = await Driver.open(driverOptions(t));
  t.teardown(() => driver.close());
  const resolver = new HfCacheResolver(new HostFiles({ driver, options: { modelDir: undefined, hfCacheDir: cache } }));
  const resolve = (reference: Partial<HfCacheReference> = {}) =>
    resolver.resolve({ type: 'hf_cache', repo: 'org/name', ...reference }, { signal: anySignal() });
  const snapshot = (path: string) => join(cache, 'models--org--name/snapshots', commit, path);
  return { cache, commit, resolve, folder: join(cache, 'models--org--name'), snapshot };
}

/** Replaces a file of the snapshot by a link. */
function relink(path: string, target: string): void {
  rmSync(path, { force: true });
  symlinkSync(target, path);
}

t.test('a cached repository resolves to its blobs, whose names are the digests', async (t) => {
  const { commit, resolve } = await start(t);
  for (const revision of [undefined, commit]) {
    const model = await resolve(revision === undefined ? {} : { revision });
    t.match(model, { modelRef: `hf-cache://org/name@${commit}`, isImmutable: true, skipped: ['README.md'] });
    t.strictSame(
      model.shards.map(({ path, bytes, claim, pinned }) => ({ path, bytes, claim, pinned })),
      [first, second].map(({ path, content }) => ({
        path,
        bytes: content.length,
        claim: { digest: `sha256:${sha256(content)}`, from: 'cache' },
        pinned: { type: 'hf_cache', repo: 'org/name', revision: commit, files: [path] },
      })),
    );
    t.ok((await contentOf(model.shards[1])).equals(second.content));
    t.ok((await contentOf(model.indexes[0])).equals(index.content));
    const source = await model.shards[0]?.open({ signal: anySignal() });
    t.match(source, { supportsRanges: true, claim: { from: 'cache' } });
    source?.close();
  }
  t.strictSame(
    (await resolve({ files: ['*00002*.gguf'] })).shards.map(({ path }) => path),
    [second.path],
  );
});

const library = '@huggingface/hub';

t.test('the cache that the library of the hub writes has this layout', unlessTool(library), async (t) => {
  const { downloadFileToCacheDir }: typeof import('@huggingface/hub') = requireTool(library);
  const hub = await startHub(t);
  const repository = new HubRepository('org/name');
  const { sha } = repository.commit(files);
  hub.add(repository);
  const { cache, resolve } = await start(t, []);
  rmSync(cache, { recursive: true });
  for (const { path } of files) {
    const at = { repo: 'org/name', revision: sha, hubUrl: hub.endpoint, fetch: clientFetch(hub) };
    await downloadFileToCacheDir({ ...at, path, cacheDir: cache });
  }
  const { shards, indexes, skipped } = await resolve({ revision: sha });
  t.strictSame(
    shards.map(({ path, claim }) => [path, claim?.digest]),
    [first, second].map(({ path, content }) => [path, `sha256:${sha256(content)}`]),
  );
  t.ok((await contentOf(shards[1])).equals(second.content));
  t.ok((await contentOf(indexes[0])).equals(index.content));
  t.strictSame(skipped, ['README.md']);
});

t.test('what is not in the cache is not found, and no hub is asked', async (t) => {
  const { resolve, snapshot, folder } = await start(t);
  for (const [reference, message] of [
    [{ repo: 'org/other' }, /no revision main of org\/other/],
    [{ revision: 'v1' }, /no revision v1/],
    [{ revision: 'b'.repeat(40) }, /no commit b{40}/],
    [{ files: ['missing.gguf'] }, /matches missing\.gguf/],
  ] as const) {
    await t.rejects(resolve(reference as Partial<HfCacheReference>), { code: 'SOURCE_NOT_FOUND', message });
  }
  const { shards } = await resolve();
  rmSync(join(folder, 'blobs', sha256(first.content)));
  await t.rejects(resolve(), { code: 'SOURCE_NOT_FOUND', message: /no longer has the content/ });
  await t.rejects(contentOf(shards[0]), { code: 'SOURCE_NOT_FOUND' });
  rmSync(snapshot(first.path));
  t.strictSame(
    (await resolve()).shards.map(({ path }) => path),
    [second.path],
    'a file that was never fetched',
  );
});

t.test('a revision file that does not hold a commit is refused', async (t) => {
  const { resolve, folder, commit } = await start(t);
  const ref = join(folder, 'refs/main');
  writeFileSync(ref, `${commit}\n`);
  t.equal((await resolve()).shards.length, 2);
  for (const content of ['', '../../etc', `${commit}0`, commit.toUpperCase(), `${commit}/..`, `${commit}\n\n`]) {
    writeFileSync(ref, content);
    await t.rejects(resolve(), { code: /^SOURCE_INVALID|INVALID_PARAMS$/ }, JSON.stringify(content));
  }
  writeFileSync(ref, 'x'.repeat(100_000));
  await t.rejects(resolve(), { code: 'INVALID_PARAMS' });
});

t.test('a link to anything but a blob of the same repository is refused', async (t) => {
  const { resolve, snapshot, cache, folder } = await start(t);
  const secret = join(cache, 'secret');
  writeFileSync(secret, 'secret');
  writeFileSync(join(folder, 'blobs', other), 'b');
  mkdirSync(join(cache, 'models--org--other/blobs'), { recursive: true });
  writeFileSync(join(cache, 'models--org--other/blobs', other), 'b');
  for (const target of [
    '/etc/passwd',
    secret,
    '../../../secret',
    `../../../models--org--other/blobs/${other}`,
    `../../../models--org--name/blobs/${other}`,
    join(folder, 'blobs', other),
    `../../blobs/../blobs/${other}`,
    `../../blobs/./${other}`,
    `../../blobs//${other}`,
    `../../blobs/${other}/`,
    `../blobs/${other}`,
    `./../../blobs/${other}`,
    `../../blobs/${other.slice(1)}`,
    `../../blobs/${other.toUpperCase()}`,
    `../../blobs/${other}.incomplete`,
    '../../blobs/..',
    'README.md',
  ]) {
    relink(snapshot(first.path), target);
    await t.rejects(resolve(), { code: 'SOURCE_INVALID', message: /not a link to a blob of its repository/ }, target);
  }
  rmSync(snapshot(first.path));
  writeFileSync(snapshot(first.path), 'a plain file');
  await t.rejects(resolve(), { code: 'SOURCE_INVALID' }, 'a plain file');
  relink(snapshot(first.path), `../../blobs/${other}`);
  t.equal((await resolve()).shards.length, 2, 'the right form');
});

t.test('a blob that is itself a link does not lead outside the cache', async (t) => {
  const { resolve, snapshot, folder } = await start(t);
  relink(join(folder, 'blobs', other), '/etc/passwd');
  relink(snapshot(first.path), `../../blobs/${other}`);
  await t.rejects(resolve(), { code: 'INVALID_PARAMS' });
  relink(snapshot('sub/extra.gguf'), '/etc');
  await t.rejects(resolve(), { code: /SOURCE_INVALID|INVALID_PARAMS/ });
});

t.test('a link that changes after the resolution has no effect', async (t) => {
  const { resolve, snapshot, folder } = await start(t);
  const { shards } = await resolve();
  writeFileSync(join(folder, 'blobs', other), 'other bytes');
  relink(snapshot(first.path), `../../blobs/${other}`);
  t.ok((await contentOf(shards[0])).equals(first.content));
  writeFileSync(join(folder, 'blobs', sha256(first.content)), 'shorter');
  await t.rejects(contentOf(shards[0]), { code: 'SOURCE_CHANGED' });
});

t.test('an index whose bytes differ from its Git id is refused', async (t) => {
  const { resolve, snapshot, folder } = await start(t);
  writeFileSync(join(folder, 'blobs', 'c'.repeat(40)), index.content);
  relink(snapshot(index.path), `../../blobs/${'c'.repeat(40)}`);
  const { indexes } = await resolve();
  await t.rejects(contentOf(indexes[0]), { code: 'SOURCE_INVALID', message: /do not have the digest/ });
});

t.test('weights that Git stores are no shards of the cache either', async (t) => {
  const { resolve } = await start(t, [git('tiny.gguf', 'tiny'), lfs('model.gguf', 'model')]);
  const { shards, skipped } = await resolve();
  t.strictSame([shards.map(({ path }) => path), skipped], [['model.gguf'], ['tiny.gguf']]);
  await t.rejects(resolve({ files: ['tiny.gguf'] }), { code: 'SOURCE_UNSUPPORTED', message: /tiny\.gguf/ });
});

t.test('names that could leave their folder are refused before the cache is read', async (t) => {
  const { resolve } = await start(t);
  for (const repo of ['..', 'org/..', 'a--b/c', '../models--org--name', 'x/../y']) {
    await t.rejects(resolve({ repo }), { code: 'INVALID_PARAMS' }, repo);
  }
  for (const revision of ['..', '../snapshots', 'a/../../..', '/etc/passwd', '.']) {
    await t.rejects(resolve({ revision }), { code: 'INVALID_PARAMS' }, revision);
  }
});
