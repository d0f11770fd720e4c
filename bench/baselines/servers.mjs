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
  const put = async (path, type, body) => {
    const answer = await fetch(`${url}${path}`, { method: 'PUT', headers: { 'content-type': type }, body });
    assert.equal(answer.status, 201, await answer.text());
  };
  return {
    url,
    stop: server.stop,
    /** Pushes a model with one raw layer as `bench:latest`, in place of an earlier one. @param {Content} content */
    async push(content) {
      rmSync(store, { recursive: true, force: true });
      const configuration = Buffer.from('{}');
      const layers = [];
      for (const [bytes, digest, size, mediaType] of [
        [configuration, sha256(configuration), 2, 'application/vnd.oci.empty.v1+json'],
        [undefined, content.digest, content.bytes, 'application/vnd.docker.ai.gguf.v3'],
      ]) {
        const session = await fetch(`${url}/v2/bench/blobs/uploads/`, { method: 'POST' });
        const target = new URL(session.headers.get('location') ?? '', url);
        target.searchParams.set('digest', `sha256:${digest}`);
        const type = ['-H', 'Content-Type: application/octet-stream'];
        if (bytes) await put(target.pathname + target.search, 'application/octet-stream', bytes);
        else await timeProcess('curl', [...curl, '-f', ...type, '-T', content.path, target.href]);
        layers.push({ mediaType, digest: `sha256:${digest}`, size });
      }
      const mediaType = 'application/vnd.oci.image.manifest.v1+json';
      const [config, layer] = layers;
      await put(
        '/v2/bench/manifests/latest',
        mediaType,
        JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [layer] }),
      );
    },
    /** A monolithic blob upload with its digest. @param {Content} content @returns {Promise<number>} seconds */
    async upload(content) {
      const session = await fetch(`${url}/v2/bench/blobs/uploads/`, { method: 'POST' });
      const target = new URL(session.headers.get('location') ?? '', url);
      target.searchParams.set('digest', `sha256:${content.digest}`);
      const type = ['-H', 'Content-Type: application/octet-stream'];
      const { seconds, output } = await timeProcess('curl', [...curl, ...type, '-T', content.path, target.href]);
      assert.equal(output.slice(-3), '201', output);
      rmSync(store, { recursive: true, force: true });
      return seconds;
    },
  };
}
