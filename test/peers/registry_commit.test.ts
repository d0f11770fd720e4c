import { openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Authority } from '../support/certificates.js';
import { ociManifest, title } from '../support/fake_registry.js';
import { claimsOf } from '../support/handles.js';
import { unlessInstalled } from '../support/installed.js';
import { startDockerRegistry } from '../support/peers/docker_registry.js';
import { RegistryClient } from '../support/peers/registry_client.js';
import { base64Of, writeRegistrySettings } from '../support/peers/registry_settings.js';
import { startProcess, type WorkerProcess } from '../support/process.js';
import { f32File } from '../support/safetensors.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';

// A worker as a process that commits from docker-registry 2.8 over TLS.

const installed = unlessInstalled('docker-registry', 'htpasswd');
const login = { username: 'robot', password: 'secret-password' };
const weights = f32File(...Array.from({ length: 20_000 }, (_, index) => `layer.${index}.weight`));

interface Body {
  readonly state: string;
  readonly handle: string;
  readonly shard: unknown;
  readonly devices: unknown;
}

async function ask(worker: WorkerProcess, path: string, json?: object): Promise<{ status: number; body: Body }> {
  const headers = { authorization: worker.authorization, 'content-type': 'application/json' };
  const request = json === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(json) };
  const answer = await fetch(worker.url + path, request);
  return { status: answer.status, body: (await answer.json()) as Body };
}

/** A registry with the model `models/llama:v1`, and a worker that may read it. */
async function start(t: Test) {
  const authority = new Authority(t);
  const registry = await startDockerRegistry(t, authority, { kind: 'htpasswd', login });
  const { endpoint, host, storage } = registry;
  const authorization = `Basic ${base64Of(login)}`;
  const client = new RegistryClient({ endpoint, ca: authority.certificate.cert, authorization });
  const push = async (content: Buffer) => {
    const layer = await client.pushBlob('models/llama', content, 'application/octet-stream', {
      [title]: 'model.safetensors',
    });
    const config = await client.pushBlob('models/llama', Buffer.from('{}'), 'application/vnd.oci.empty.v1+json');
    const manifest = { schemaVersion: 2 as const, mediaType: ociManifest, config, layers: [layer] };
    return { layer, manifest: await client.pushManifest('models/llama', 'v1', manifest) };
  };
  const { sourcesFile } = writeRegistrySettings(t, { registry, authority, login });
  const directory = temporaryDirectory(t);
  const env = { WORKER_SOURCES_FILE: sourcesFile, WORKER_MANIFEST: 'manifest.json', WORKER_AUDIT_LOG: 'audit.log' };
  const startWorker = () => startProcess(t, directory, env);
  const source = { type: 'oci', registry: host, repository: 'models/llama', reference: 'v1' };
  const commit = (worker: WorkerProcess, shardId: string) =>
    ask(worker, '/v1/commit', { shard_id: shardId, model_ref: 'llama', source });
  const blobFile = (digest: string): string => {
    const hex = digest.slice(7);
    return join(storage, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  };
  return { directory, host, push, startWorker, commit, blobFile };
}

t.test('a shard of a registry is restored from the same manifest after its tag moved', installed, async (t) => {
  const { directory, host, push, startWorker, commit } = await start(t);
  const { layer, manifest } = await push(weights);
  const worker = await startWorker();
  const created = await commit(worker, 'a');
  t.equal(created.status, 201, JSON.stringify(created.body));
  t.match(created.body.shard, { digest: layer.digest, vram_bytes: weights.length, restorable: true });
  const claims = claimsOf(created.body.handle);
  t.equal(claims.expected_by, 'source');
  t.match(claims.source, `oci://${host}/models/llama@${manifest.digest}`);
  await push(f32File('other'));
  worker.child.kill('SIGKILL');
  await worker.exited;
  const second = await startWorker();
  await until(async () => (await ask(second, '/v1/ready')).body.state === 'ready');
  const { body } = await ask(second, '/v1/shards/a');
  t.match(body, { shard_id: 'a', digest: layer.digest, vram_bytes: weights.length });
  for (const file of ['audit.log', 'manifest.json']) {
    const text = readFileSync(join(directory, file), 'utf8');
    t.notMatch(text, new RegExp(`secret-password|${base64Of(login)}`), `${file} has no credentials`);
  }
  t.notMatch(worker.output() + worker.errors(), /secret-password/);
});

t.test('bytes that the registry lost on its disk are never sealed', installed, async (t) => {
  const { push, startWorker, commit, blobFile } = await start(t);
  const { layer } = await push(weights);
  const file = openSync(blobFile(layer.digest), 'r+');
  writeSync(file, Buffer.of(0xff), 0, 1, weights.length - 1);
  const worker = await startWorker();
  const before = (await ask(worker, '/v1/ready')).body;
  const refused = await commit(worker, 'a');
  t.match(refused, { status: 422, body: { code: 'DIGEST_MISMATCH' } });
  t.equal((await ask(worker, '/v1/shards/a')).status, 404);
  t.strictSame((await ask(worker, '/v1/ready')).body.devices, before.devices, 'all memory is free again');
  writeFileSync(blobFile(layer.digest), weights);
  t.equal((await commit(worker, 'a')).status, 201);
});
