import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, startServer, timeProcess, untilAnswers } from '../processes.mjs';

/** @typedef {import('../content.mjs').Content} Content */

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const script = (name) => new URL(name, import.meta.url).pathname;
const curl = ['-sS', '--noproxy', '*', '-w', '\n%{http_code}'];

/** A bare Node server: the cost of an upload without any processing. */
export async function startBareServer() {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const server = startServer(process.execPath, [script('bare_server.mjs'), String(port)]);
  await untilAnswers(url, server);
  return {
    stop: server.stop,
    /** @param {Content} content @returns {Promise<number>} seconds */
    async upload(content) {
      const { seconds, output } = await timeProcess('curl', [...curl, '-T', content.path, `${url}/`]);
      assert.equal(output, `${content.bytes}\n200`);
      return seconds;
    },
  };
}

/** The Fastify app, serving `body`. @param {string} directory @param {Uint8Array} body @param {string} [etag] */
export async function startFastifyApp(directory, body, etag) {
  const path = join(directory, 'body.json');
  writeFileSync(path, body);
  const port = await freePort();
  const args = [script('fastify_app.mjs'), String(port), path, ...(etag === undefined ? [] : [etag])];
  const server = startServer(process.execPath, args);
  const url = `http://127.0.0.1:${port}`;
  await untilAnswers(`${url}/v1/devices`, server);
  return { url, pid: server.pid, stop: server.stop };
}

/** Debian's docker-registry with a directory as its store. It hashes uploads in Go, built without SHA instructions. */
export async function startRegistry(directory) {
  const port = await freePort();
  const store = join(directory, 'store');
  const config = join(directory, 'registry.yml');
  const settings = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: store } },
    http: { addr: `127.0.0.1:${port}` },
  };
  writeFileSync(config, JSON.stringify(settings)); // JSON is YAML
  const url = `http://127.0.0.1:${port}`;
  const server = startServer('docker-registry', ['serve', config]);
  await untilAnswers(`${url}/v2/`, server);
  const empty = () => rmSync(store, { recursive: true, force: true });
  return {
    url,
    stop: server.stop,
    /** Pushes a model with one raw layer as `bench:latest`, in place of an earlier one. @param {Content} content */
    async push(content) {
      empty();
      await pushModel(url, content);
    },
    /** A monolithic blob upload with its digest. @param {Content} content @returns {Promise<number>} seconds */
    async upload(content) {
      const seconds = await uploadBlob(await uploadTarget(url, content.digest), content);
      empty();
      return seconds;
    },
  };
}

const octets = 'application/octet-stream';

async function pushModel(url, content) {
  const configuration = Buffer.from('{}');
  const digest = sha256(configuration);
  await put(await uploadTarget(url, digest), octets, configuration);
  await uploadBlob(await uploadTarget(url, content.digest), content);
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: `sha256:${digest}`, size: configuration.length },
    layers: [
      { mediaType: 'application/vnd.docker.ai.gguf.v3', digest: `sha256:${content.digest}`, size: content.bytes },
    ],
  };
  await put(`${url}/v2/bench/manifests/latest`, mediaType, JSON.stringify(manifest));
}

/** Begins the upload of a blob. Resolves with the URL for its bytes. */
async function uploadTarget(url, digest) {
  const session = await fetch(`${url}/v2/bench/blobs/uploads/`, { method: 'POST' });
  const target = new URL(session.headers.get('location') ?? '', url);
  target.searchParams.set('digest', `sha256:${digest}`);
  return target.href;
}

async function put(url, type, body) {
  const answer = await fetch(url, { method: 'PUT', headers: { 'content-type': type }, body });
  assert.equal(answer.status, 201, await answer.text());
}

/** Uploads a file as a blob. Resolves with the seconds. */
async function uploadBlob(url, content) {
  const { seconds, output } = await timeProcess('curl', [
    ...curl,
    ...['-H', `Content-Type: ${octets}`, '-T', content.path, url],
  ]);
  assert.equal(output.slice(-3), '201', output);
  return seconds;
}
