import t from 'tap';
import { parseDocument } from '../../../src/sources/oci/manifest.js';
import { ociIndex, ociManifest, sha256 } from '../../support/fake_registry.js';

const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json';
const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json';
const digest = sha256(Buffer.from('x'));
const layer = { mediaType: 'application/vnd.ollama.image.model', digest, size: 1 };
const manifest = { schemaVersion: 2, mediaType: ociManifest, layers: [layer] };
const index = { schemaVersion: 2, mediaType: ociIndex, manifests: [{ ...layer, mediaType: ociManifest }] };

t.test('manifests and indexes of OCI and Docker are read', async (t) => {
  t.strictSame(parseDocument(manifest, ociManifest), {
    kind: 'manifest',
    layers: [{ mediaType: layer.mediaType, digest, bytes: 1, annotations: {} }],
  });
  t.equal(
    parseDocument({ ...manifest, mediaType: dockerManifest }, `${dockerManifest}; charset=utf-8`).kind,
    'manifest',
  );
  t.equal(parseDocument(index, ociIndex).kind, 'index');
  t.equal(parseDocument({ ...index, mediaType: dockerList }, dockerList).kind, 'index');
});

t.test('the media type of the document counts, then that of the response, then the content', async (t) => {
  const { mediaType: _, ...bare } = manifest;
  t.equal(parseDocument(manifest, 'application/json').kind, 'manifest');
  t.equal(parseDocument(manifest, undefined).kind, 'manifest');
  t.equal(parseDocument(bare, ociManifest).kind, 'manifest');
  t.equal(parseDocument(bare, 'text/plain').kind, 'manifest');
  t.equal(parseDocument({ schemaVersion: 2, manifests: [] }, undefined).kind, 'index');
});

t.test('a document that two clients could read differently is refused', async (t) => {
  for (const [value, type] of [
    [{ ...manifest, manifests: index.manifests }, ociManifest],
    [manifest, ociIndex],
    [manifest, dockerManifest],
    [{ ...index, mediaType: ociManifest }, ociManifest],
    [{ ...manifest, mediaType: undefined }, ociIndex],
  ] as const) {
    t.throws(() => parseDocument(value, type), { code: 'SOURCE_INVALID' });
  }
});

t.test('other documents are refused', async (t) => {
  for (const type of [
    'application/vnd.docker.distribution.manifest.v1+json',
    'application/vnd.oci.artifact.manifest.v1+json',
  ])
    t.throws(() => parseDocument({ ...manifest, mediaType: type }, type), { code: 'SOURCE_UNSUPPORTED' }, type);
  for (const value of [
    undefined,
    null,
    [],
    'x',
    {},
    { ...manifest, schemaVersion: 1 },
    { ...manifest, layers: {} },
    { ...manifest, layers: [null] },
    { ...manifest, layers: [{ ...layer, mediaType: '' }] },
    { ...manifest, layers: [{ ...layer, annotations: { a: 1 } }] },
    { ...manifest, layers: Array.from({ length: 8193 }, () => layer) },
    { ...index, manifests: undefined },
  ]) {
    t.throws(() => parseDocument(value, undefined), { code: 'SOURCE_INVALID' }, JSON.stringify(value)?.slice(0, 60));
  }
});

t.test('sizes are integers below 2^53, and so is their sum', async (t) => {
  for (const size of [-1, 1.5, 2 ** 53, 1e300, '1', null, undefined]) {
    t.throws(() => parseDocument({ ...manifest, layers: [{ ...layer, size }] }, ociManifest), {
      code: 'SOURCE_INVALID',
    });
  }
  const half = { ...layer, size: 2 ** 52 };
  t.throws(() => parseDocument({ ...manifest, layers: [half, half] }, ociManifest), { code: 'SOURCE_INVALID' });
});

t.test('a digest is sha256: and 64 lower-case hex digits, and nothing else', async (t) => {
  const hex = digest.slice(7);
  for (const text of [
    hex,
    `sha256-${hex}`,
    `sha256:${hex.toUpperCase()}`,
    `sha256:${hex}\n`,
    `sha256:${hex}/../x`,
    `sha256:../../../../etc/passwd`,
    `../${digest}`,
    `sha256:${hex.slice(1)}`,
    `sha256:${hex}0`,
    `SHA256:${hex}`,
    `md5:${hex.slice(32)}`,
    '',
  ]) {
    t.throws(
      () => parseDocument({ ...manifest, layers: [{ ...layer, digest: text }] }, ociManifest),
      { code: 'SOURCE_INVALID' },
      JSON.stringify(text),
    );
  }
  const long = { ...layer, digest: `sha512:${hex}${hex}` };
  t.throws(() => parseDocument({ ...manifest, layers: [long] }, ociManifest), { code: 'SOURCE_UNSUPPORTED' });
});
