import t, { type Test } from 'tap';
import { Inspector } from '../../src/sources/formats/inspector.js';
import type { LocalFiles } from '../../src/sources/local_files.js';
import { SourceRegistry } from '../../src/sources/registry.js';
import { SourceResolver } from '../../src/sources/resolver.js';
import type { HttpSettings } from '../../src/sources/settings/schema.js';
import { anySignal, environmentOf, openedRange } from '../support/http_sources.js';
import { rangeServer } from '../support/range_server.js';

const noFiles: LocalFiles = {
  open: () => Promise.reject(new Error('no local file is expected')),
  readText: () => Promise.reject(new Error('no local file is expected')),
  readLink: () => Promise.reject(new Error('no local file is expected')),
  list: () => Promise.reject(new Error('no local file is expected')),
};

/** A resolver of one HTTP source, below `/models/` of a server. */
async function httpResolver(t: Test, files: Readonly<Record<string, Buffer>>, settings: Partial<HttpSettings> = {}) {
  const server = await rangeServer(t, files);
  const prefixes = [`${server.origin}/models/`];
  const source: HttpSettings = { name: 'lab', type: 'http', prefixes, addresses: [openedRange], ...settings };
  const registry = new SourceRegistry(environmentOf(), [{ settings: source, files: {} }]);
  const inspector = new Inspector({ headerBytes: 1024 * 1024 });
  const resolver = new SourceResolver({ registry, localFiles: noFiles, inspector });
  const resolve = (path: string) =>
    resolver.resolve({ type: 'http', url: `${server.origin}/models/${path}` }, { signal: anySignal() });
  return { origin: server.origin, resolve };
}

const index = Buffer.from(
  JSON.stringify({
    metadata: { total_size: 8 },
    weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' },
  }),
);

t.test('an HTTP URL is one file', async (t) => {
  const { origin, resolve } = await httpResolver(
    t,
    { '/models/a%20b.gguf': Buffer.from('bytes') },
    { digest: 'allow' },
  );
  const model = await resolve('a%20b.gguf');
  const url = `${origin}/models/a%20b.gguf`;
  t.match(model, { modelRef: url, isImmutable: false, digestRule: 'allow', indexes: [], skipped: [] });
  t.match(model.shards, [{ path: 'a b.gguf', bytes: 5, claim: undefined, pinned: { type: 'http', name: 'lab', url } }]);
});

t.test('a URL with a query is never named in full', async (t) => {
  const { origin, resolve } = await httpResolver(t, { '/models/a.gguf': Buffer.from('bytes') });
  const model = await resolve('a.gguf?signature=secret');
  t.equal(model.modelRef, `${origin}/models/a.gguf`);
  t.equal(model.digestRule, 'require');
  t.equal(model.shards[0]?.pinned, undefined);
});

t.test('an index of safetensors files names the files next to it', async (t) => {
  const { origin, resolve } = await httpResolver(t, {
    '/models/x/model.safetensors.index.json': index,
    '/models/x/model-00001-of-00002.safetensors': Buffer.from('one'),
    '/models/x/model-00002-of-00002.safetensors': Buffer.from('two!'),
  });
  const model = await resolve('x/model.safetensors.index.json?download=true');
  t.match(
    model.shards.map(({ path, bytes }) => [path, bytes]),
    [
      ['model-00001-of-00002.safetensors', 3],
      ['model-00002-of-00002.safetensors', 4],
    ],
  );
  t.match(model.indexes, [{ path: 'model.safetensors.index.json', pinned: undefined }]);
  t.match(model.shards[0]?.pinned, { url: `${origin}/models/x/model-00001-of-00002.safetensors` });
});

t.test('a file that an index lists and the server lacks is an error', async (t) => {
  const { resolve } = await httpResolver(t, { '/models/model.safetensors.index.json': index });
  await t.rejects(resolve('model.safetensors.index.json'), { code: 'SOURCE_NOT_FOUND' });
});

t.test('a URL outside the prefixes is forbidden', async (t) => {
  const { resolve } = await httpResolver(t, {});
  await t.rejects(resolve('../other/a.gguf'), { code: 'SOURCE_FORBIDDEN' });
});
