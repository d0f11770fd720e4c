import t from 'tap';
import { isDigest } from '../../../src/seal/digest.js';
import { filesOf, requireRaw, withoutShards } from '../../../src/sources/oci/artifact_files.js';
import type { Descriptor } from '../../../src/sources/oci/manifest.js';
import { sha256, title } from '../../support/fake_registry.js';

let count = 0;
function layer(mediaType: string, annotations: Record<string, string> = {}): Descriptor {
  count += 1;
  const digest = sha256(Buffer.from(String(count)));
  if (!isDigest(digest)) throw new Error('no digest');
  return { mediaType, digest, bytes: 10, annotations };
}

const one = (mediaType: string, annotations?: Record<string, string>) => {
  const [file] = filesOf([layer(mediaType, annotations)]);
  if (file === undefined) throw new Error('no file');
  return file;
};

t.test('the weight layers of Docker, Ollama and ModelPack are shards', async (t) => {
  for (const [type, end] of [
    ['application/vnd.docker.ai.gguf.v3', '.gguf'],
    ['application/vnd.docker.ai.safetensors', '.safetensors'],
    ['application/vnd.docker.ai.mmproj', '.gguf'],
    ['application/vnd.ollama.image.model', ''],
    ['application/vnd.ollama.image.projector', ''],
    ['application/vnd.cncf.model.weight.v1.raw', ''],
    ['application/vnd.cncf.model.weight.v1.gguf', '.gguf'],
    ['application/vnd.cnai.model.weight.v1.raw', ''],
  ] as const) {
    const file = one(type);
    t.equal(file.kind, 'shard', type);
    t.equal(file.packing, undefined, type);
    t.equal(file.path, `${file.layer.digest.replace(':', '-')}${end}`, 'a nameless layer has a name by its digest');
    t.equal(file.isNamed, false);
  }
});

t.test('other layers are known by their names', async (t) => {
  t.equal(one('application/octet-stream', { [title]: 'a/model.gguf' }).kind, 'shard');
  t.equal(one('application/x-anything', { [title]: 'model.safetensors.index.json' }).kind, 'index');
  t.equal(
    one('application/vnd.cncf.model.weight.config.v1.raw', { 'org.cncf.model.filepath': 'config.json' }).kind,
    'other',
  );
  t.equal(one('application/vnd.ollama.image.template').kind, 'other');
  t.equal(one('application/vnd.docker.ai.license').kind, 'other');
  t.equal(one('application/vnd.cncf.model.weight.v1.raw', { [title]: 'weights.bin' }).kind, 'shard');
});

t.test('the path of ModelPack goes before the title of ORAS', async (t) => {
  const names = { [title]: 'title.gguf', 'org.cncf.model.filepath': 'a/path.gguf' };
  t.equal(one('application/octet-stream', names).path, 'a/path.gguf');
  t.equal(one('application/octet-stream', { 'org.cnai.model.filepath': 'old.gguf' }).path, 'old.gguf');
});

t.test('a name must be a plain path', async (t) => {
  for (const name of ['../x.gguf', '/etc/passwd', 'a\\b', 'C:x.gguf', 'a\0b', '', 'a//b', `${'x'.repeat(1025)}`]) {
    t.throws(
      () => one('application/octet-stream', { [title]: name }),
      { code: 'SOURCE_INVALID' },
      JSON.stringify(name),
    );
  }
  t.equal(one('application/octet-stream', JSON.parse('{"__proto__":"x"}')).isNamed, false);
});

t.test('a name occurs once; the same layer listed twice is one file', async (t) => {
  const named = layer('application/octet-stream', { [title]: 'x.gguf' });
  t.equal(filesOf([named, named]).length, 1);
  t.throws(() => filesOf([named, layer('application/octet-stream', { [title]: 'x.gguf' })]), {
    code: 'SOURCE_INVALID',
  });
  const nameless = layer('application/vnd.ollama.image.model');
  t.equal(filesOf([nameless, nameless]).length, 1);
});

t.test('packed layers are refused, with the number of the layer and its packing', async (t) => {
  for (const [type, packing] of [
    ['application/vnd.cncf.model.weight.v1.tar', 'tar'],
    ['application/vnd.cncf.model.weight.v1.tar+gzip', 'tar+gzip'],
    ['application/vnd.cncf.model.weight.v1.tar+zstd', 'tar+zstd'],
    ['application/vnd.kitops.modelkit.model.v1.tar+gzip', 'tar+gzip'],
    ['application/vnd.oci.image.layer.v1.tar+gzip', 'tar+gzip'],
    ['application/vnd.docker.image.rootfs.diff.tar.gzip', 'tar+gzip'],
    ['application/vnd.oci.image.layer.v1.tar+zstd', 'tar+zstd'],
    ['application/vnd.oci.image.layer.v1.tar+gzip+encrypted', 'tar+gzip+encrypted'],
    ['application/vnd.docker.ai.dir.tar', 'tar'],
    ['application/x-tar', 'tar'],
    ['application/gzip', 'gzip'],
    ['application/zip', 'zip'],
  ] as const) {
    const file = one(type, { [title]: 'model.gguf' });
    t.equal(file.packing, packing, type);
    const message = `Layer 1 of the artifact is packed as ${packing}: push the weights as raw layers`;
    t.throws(() => requireRaw(file), { code: 'SOURCE_UNSUPPORTED', message });
    t.match(withoutShards([file]), { code: 'SOURCE_UNSUPPORTED', message });
  }
  for (const type of [
    'application/vnd.target+json',
    'application/octet-stream',
    'text/markdown',
    'application/vnd.star.v1',
  ]) {
    t.equal(one(type).packing, undefined, type);
  }
  t.match(withoutShards([one('text/markdown')]), { code: 'SOURCE_UNSUPPORTED', message: /no layer of weights/ });
});

t.test('a plain file that ORAS pushed without a type is raw; a folder that it packed is not', async (t) => {
  const type = 'application/vnd.oci.image.layer.v1.tar';
  const raw = one(type, { [title]: 'model.gguf' });
  t.strictSame([raw.kind, raw.packing], ['shard', undefined]);
  t.equal(one(type, { [title]: 'models', 'io.deis.oras.content.unpack': 'true' }).packing, 'tar');
  t.equal(one(type, { [title]: 'models.tar' }).packing, 'tar');
  t.equal(one(type).packing, 'tar', 'a layer of an image');
  t.equal(one(`${type}+gzip`, { [title]: 'model.gguf' }).packing, 'tar+gzip');
});

t.test('an empty layer is refused, and any other raw one is not', async (t) => {
  requireRaw(one('application/vnd.ollama.image.model'));
  const empty = { ...one('application/vnd.ollama.image.model'), layer: { ...layer('x'), bytes: 0 } };
  t.throws(() => requireRaw(empty), { code: 'SOURCE_UNSUPPORTED', message: 'Layer 1 of the artifact is empty' });
});
