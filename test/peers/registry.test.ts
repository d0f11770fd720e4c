import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { readSources } from '../../src/config/sources_file.js';
import { OciResolver } from '../../src/sources/oci/oci_resolver.js';
import type { OciReference } from '../../src/sources/reference.js';
import { SourceRegistry } from '../../src/sources/registry.js';
import { FileCalls } from '../../src/storage/file_calls.js';
import { Authority } from '../support/certificates.js';
import { ociIndex, ociManifest, sha256, title } from '../support/fake_registry.js';
import { ggufFile } from '../support/gguf.js';
import { anySignal, environmentOf, MemorySink } from '../support/http_sources.js';
import { unlessInstalled } from '../support/installed.js';
import { firstShard } from '../support/oci_sources.js';
import { type DockerRegistry, type Login, startDockerRegistry } from '../support/peers/docker_registry.js';
import { OciLayout, skopeo } from '../support/peers/oci_layout.js';
import { RegistryClient } from '../support/peers/registry_client.js';
import { base64Of, writeRegistrySettings } from '../support/peers/registry_settings.js';
import { startTokenServer } from '../support/peers/token_server.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';

// docker-registry 2.8 over TLS, skopeo, and artifacts in the forms of ORAS, Docker models, ModelPack and Ollama.

const installed = unlessInstalled('docker-registry', 'skopeo', 'htpasswd');
const login: Login = { username: 'robot', password: 'pass:word "quoted" ü' };
const weights = Buffer.concat([ggufFile(), Buffer.alloc(8 * 1024 * 1024 + 13, 'weights ')]);
const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json';

/** A resolver with the settings of a worker in files. */
async function sourceOf(
  t: Test,
  registry: DockerRegistry,
  authority: Authority,
  changes: Record<string, unknown> = {},
) {
  const { sourcesFile, authFile } = writeRegistrySettings(t, { registry, authority, login, changes });
  const { sources } = await readSources(sourcesFile, new FileCalls(30));
  const resolver = new OciResolver(new SourceRegistry(environmentOf(), sources));
  const resolve = (reference: Partial<OciReference> = {}) =>
    resolver.resolve({ type: 'oci', repository: 'models/llama', ...reference }, { signal: anySignal() });
  return { authFile, resolve };
}

function clientOf({ endpoint }: DockerRegistry, authority: Authority): RegistryClient {
  return new RegistryClient({ endpoint, ca: authority.certificate.cert, authorization: `Basic ${base64Of(login)}` });
}

t.test('artifacts in four forms are read from a registry with Basic authorization', installed, async (t) => {
  const authority = new Authority(t);
  const registry = await startDockerRegistry(t, authority, { kind: 'htpasswd', login });
  const client = clientOf(registry, authority);
  const { resolve } = await sourceOf(t, registry, authority);
  const repository = 'models/llama';
  const push = async (
    tag: string,
    configType: string,
    mediaType: string,
    layers: readonly (readonly [Buffer, string, Record<string, string>?])[],
  ) => {
    const config = await client.pushBlob(repository, Buffer.from('{}'), configType);
    const pushed = [];
    for (const [content, type, annotations] of layers) {
      pushed.push(await client.pushBlob(repository, content, type, annotations));
    }
    return client.pushManifest(repository, tag, {
      schemaVersion: 2,
      mediaType,
      config,
      layers: pushed,
    });
  };
  const readme = Buffer.from('# Model');
  const path = 'org.cncf.model.filepath';
  const forms = {
    oras: await push('oras', 'application/vnd.oci.empty.v1+json', ociManifest, [
      [readme, 'application/vnd.oci.image.layer.v1.tar', { [title]: 'README.md' }],
      [weights, 'application/vnd.oci.image.layer.v1.tar', { [title]: 'llama.gguf' }],
    ]),
    docker: await push('docker', 'application/vnd.docker.ai.model.config.v0.1+json', ociManifest, [
      [weights, 'application/vnd.docker.ai.gguf.v3'],
      [readme, 'application/vnd.docker.ai.license'],
    ]),
    modelpack: await push('modelpack', 'application/vnd.cncf.model.config.v1+json', ociManifest, [
      [weights, 'application/vnd.cncf.model.weight.v1.raw', { [path]: 'llama.gguf' }],
      [readme, 'application/vnd.cncf.model.doc.v1.raw', { [path]: 'README.md' }],
    ]),
    ollama: await push('ollama', 'application/vnd.docker.container.image.v1+json', dockerManifest, [
      [weights, 'application/vnd.ollama.image.model'],
      [readme, 'application/vnd.ollama.image.template'],
    ]),
  };
  for (const [tag, { digest }] of Object.entries(forms)) {
    const model = await resolve({ reference: tag });
    t.equal(model.modelRef, `oci://${registry.host}/models/llama@${digest}`, tag);
    t.strictSame([model.shards.length, model.skipped.length], [1, 1], tag);
    t.strictSame(model.shards[0]?.claim, { digest: sha256(weights), from: 'descriptor' }, tag);
    t.ok((await firstShard(model)).equals(weights), tag);
    const pinned = model.shards[0]?.pinned;
    t.ok(pinned?.type === 'oci' && (await firstShard(await resolve(pinned))).equals(weights), `${tag}: by its pin`);
  }
  await client.pushManifest(repository, 'index', {
    schemaVersion: 2,
    mediaType: ociIndex,
    manifests: [forms.oras],
  });
  t.match((await resolve({ reference: 'index' })).modelRef, `@${forms.oras.digest}`);
});

t.test('any range of a blob can be read, as a repair does', installed, async (t) => {
  const authority = new Authority(t);
  const registry = await startDockerRegistry(t, authority, { kind: 'none' });
  const client = clientOf(registry, authority);
  const layer = await client.pushBlob('a', weights, 'application/vnd.ollama.image.model');
  const config = await client.pushBlob('a', Buffer.from('{}'), 'application/vnd.oci.empty.v1+json');
  await client.pushManifest('a', 'latest', {
    schemaVersion: 2,
    mediaType: ociManifest,
    config,
    layers: [layer],
  });
  const { resolve } = await sourceOf(t, registry, authority);
  const [shard] = (await resolve({ repository: 'a' })).shards;
  const source = await shard?.open({ signal: anySignal() });
  t.equal(source?.supportsRanges, true);
  for (const [offset, length] of [
    [0, 1],
    [524_288, 524_288],
    [weights.length - 1, 1],
    [3, weights.length - 3],
  ] as const) {
    const sink = new MemorySink();
    await source?.copyTo(sink, { offset, length }, { signal: anySignal() });
    t.ok(sink.content.equals(weights.subarray(offset, offset + length)), `${offset}+${length}`);
  }
});

/** A registry with token authorization, and an artifact that skopeo pushed. */
async function startWithTokens(t: Test) {
  const authority = new Authority(t);
  const tokens = await startTokenServer(t, authority, login);
  const { realm, issuer } = tokens;
  const authorityFile = authority.certificate.certFile;
  const registry = await startDockerRegistry(t, authority, { kind: 'token', realm, issuer, authorityFile });
  const { authFile, resolve } = await sourceOf(t, registry, authority, { realm_hosts: [tokens.host] });
  const directory = temporaryDirectory(t);
  const certificates = join(directory, 'certificates');
  mkdirSync(certificates);
  writeFileSync(join(certificates, 'ca.crt'), authority.certificate.cert);
  const layout = new OciLayout(join(directory, 'layout'));
  const copy = (from: string, to: string) => skopeo({ authFile, certificates, directory }, from, to);
  return { authority, tokens, registry, resolve, layout, copy };
}

t.test('an artifact that skopeo pushed is read with tokens, which are renewed when they end', installed, async (t) => {
  const { tokens, registry, resolve, layout, copy } = await startWithTokens(t);
  const config = layout.addBlob(Buffer.from('{}'), 'application/vnd.docker.ai.model.config.v0.1+json');
  const layer = layout.addBlob(weights, 'application/vnd.docker.ai.gguf.v3', {
    'org.cncf.model.filepath': 'a/llama.gguf',
  });
  const digest = layout.setArtifact('v1', config, [layer]);
  await copy(`oci:${layout.directory}:v1`, `docker://${registry.host}/models/llama:v1`);
  const pushes = tokens.requests.length;
  // The registry accepts a token for a minute after its end: this one for ten seconds.
  tokens.lifetimeSeconds = -50;
  const model = await resolve({ reference: 'v1' });
  t.equal(model.modelRef, `oci://${registry.host}/models/llama@${digest}`);
  t.equal(tokens.requests.length - pushes, 1);
  tokens.lifetimeSeconds = 300;
  await until(async () => {
    await model.shards[0]?.open({ signal: anySignal() });
    return tokens.requests.length - pushes > 1;
  }, 'the token was not renewed');
  t.ok((await firstShard(model)).equals(weights));
  t.equal(tokens.requests.length - pushes, 2);
  tokens.lifetimeSeconds = -3600;
  await t.rejects(resolve({ reference: 'v1' }), { code: 'SOURCE_AUTH_FAILED' });
  tokens.lifetimeSeconds = 300;
  await t.rejects(resolve({ reference: 'v2' }), { code: 'SOURCE_NOT_FOUND' });
});

t.test('a copy by skopeo in another registry has the same pinned reference', installed, async (t) => {
  const { authority, registry, layout, copy } = await startWithTokens(t);
  const other = await startDockerRegistry(t, authority, { kind: 'none' });
  const config = layout.addBlob(Buffer.from('{}'), 'application/vnd.cncf.model.config.v1+json');
  const layer = layout.addBlob(weights, 'application/vnd.cncf.model.weight.v1.raw', { [title]: 'llama.gguf' });
  const digest = layout.setArtifact('v1', config, [layer]);
  await copy(`oci:${layout.directory}:v1`, `docker://${registry.host}/models/llama:v1`);
  await copy(`docker://${registry.host}/models/llama:v1`, `docker://${other.host}/models/llama:copy`);
  const { resolve } = await sourceOf(t, other, authority);
  t.match((await resolve({ reference: 'copy' })).modelRef, `@${digest}`);
  t.ok((await firstShard(await resolve({ reference: digest }))).equals(weights));
});

t.test('a container image is refused, because its layers are packed', installed, async (t) => {
  const { registry, resolve, layout, copy } = await startWithTokens(t);
  const layer = layout.addBlob(gzipSync(Buffer.alloc(10_240)), 'application/vnd.oci.image.layer.v1.tar+gzip');
  const image = {
    ...{ architecture: 'amd64', os: 'linux', config: {} },
    rootfs: { type: 'layers', diff_ids: [sha256(Buffer.alloc(10_240))] },
  };
  const config = layout.addBlob(Buffer.from(JSON.stringify(image)), 'application/vnd.oci.image.config.v1+json');
  layout.setArtifact('image', config, [layer]);
  await copy(`oci:${layout.directory}:image`, `docker://${registry.host}/models/llama:image`);
  await t.rejects(resolve({ reference: 'image' }), { code: 'SOURCE_UNSUPPORTED', message: /packed as tar\+gzip/ });
});

t.test('wrong credentials, token servers and authorities are refused', installed, async (t) => {
  const { authority, tokens, registry } = await startWithTokens(t);
  const before = tokens.requests.length;
  const { resolve } = await sourceOf(t, registry, authority);
  await t.rejects(resolve(), { code: 'SOURCE_FORBIDDEN', message: /realm_hosts/ });
  t.equal(tokens.requests.length, before, 'the token server got no connection');
  const { resolve: untrusted } = await sourceOf(t, registry, new Authority(t, 'other'));
  await t.rejects(untrusted(), { code: 'SOURCE_INVALID', message: /TLS/ });
  const other = { ...login, password: 'wrong' };
  const realm_hosts = [tokens.host];
  const { authFile } = writeRegistrySettings(t, { registry, authority, login: other });
  const { resolve: stranger } = await sourceOf(t, registry, authority, { docker_config_file: authFile, realm_hosts });
  await t.rejects(stranger(), { code: 'SOURCE_AUTH_FAILED', message: /token server refused/ });
  const basic = await startDockerRegistry(t, authority, { kind: 'htpasswd', login });
  const { authFile: basicFile } = writeRegistrySettings(t, { registry: basic, authority, login: other });
  const { resolve: wrong } = await sourceOf(t, basic, authority, { docker_config_file: basicFile });
  await t.rejects(wrong(), { code: 'SOURCE_AUTH_FAILED' });
});
