import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { Secret } from '../../src/sources/egress/secret.js';
import { Inspector } from '../../src/sources/formats/inspector.js';
import { readRange } from '../../src/sources/read_range.js';
import { SourceRegistry } from '../../src/sources/registry.js';
import { SourceResolver } from '../../src/sources/resolver.js';
import type { SourceFiles } from '../../src/sources/settings/loaded_source.js';
import type { HttpSettings } from '../../src/sources/settings/schema.js';
import { patternBytes } from '../support/bytes.js';
import { Authority } from '../support/certificates.js';
import { freePort } from '../support/free_port.js';
import { anySignal, environmentOf, lookupOf } from '../support/http_sources.js';
import { unlessInstalled } from '../support/installed.js';
import { startNginx } from '../support/nginx.js';
import { temporaryDirectory } from '../support/temporary_directory.js';

const mebibyte = 1024 * 1024;
const content = patternBytes(5 * mebibyte);
const hash = createHash('sha256').update(content).digest();
const digest = `sha256:${hash.toString('hex')}`;
const whole = { offset: 0, length: content.length };
const signal = anySignal();

interface Servers {
  /** The source itself, with a certificate of the authority. */
  readonly own: string;
  /** Another port, which refuses credentials. */
  readonly cdn: string;
  /** Plain http. */
  readonly plain: string;
  readonly ca: Buffer;
}

/** nginx with files below `/models/`, each folder served in another way. */
async function start(t: Test): Promise<Servers> {
  const root = temporaryDirectory(t);
  // nginx reads files as another user if root starts it.
  chmodSync(root, 0o755);
  for (const folder of ['plain', 'header', 'sidecar', 'whole', 'gzip', 'zipped', 'slow', 'private']) {
    mkdirSync(join(root, 'models', folder), { recursive: true });
    writeFileSync(join(root, 'models', folder, 'model.gguf'), content);
  }
  writeFileSync(join(root, 'models/sidecar/model.gguf.sha256'), `${hash.toString('hex')}  model.gguf\n`);
  writeFileSync(join(root, 'models/zipped/model.gguf.gz'), gzipSync(content));
  const authority = new Authority(t);
  const issued = authority.issue('own.test');
  const [own, cdn] = [await freePort(), await freePort()];
  const tls = (port: number) => `listen 127.0.0.1:${port} ssl;
    ssl_certificate ${issued.certFile}; ssl_certificate_key ${issued.keyFile}; root ${root};`;
  const extra = `
  server {
    ${tls(own)}
    location /models/header/ { add_header Repr-Digest "sha-256=:${hash.toString('base64')}:"; }
    location /models/whole/ { max_ranges 0; }
    location /models/gzip/ { gzip on; gzip_types *; gzip_min_length 1; }
    location /models/zipped/ { gzip_static always; }
    location /models/slow/ { limit_rate 2m; }
    location /models/private/ { if ($http_authorization != "Bearer secret-token") { return 401; } }
    location = /models/moved.gguf { return 302 /models/plain/model.gguf; }
    location = /models/away.gguf { return 302 https://127.0.0.1:${cdn}/models/plain/model.gguf; }
    location = /models/out.gguf { return 302 /other/model.gguf; }
    location = /models/down.gguf { return 302 http://127.0.0.1:${cdn}/models/plain/model.gguf; }
    location = /models/loop.gguf { return 302 /models/loop.gguf; }
    location = /models/busy.gguf { return 429; }
  }
  server {
    ${tls(cdn)}
    location / { if ($http_authorization) { return 400; } }
  }`;
  const plain = await startNginx(t, `root ${root};`, extra);
  return { own: `https://127.0.0.1:${own}`, cdn: `https://127.0.0.1:${cdn}`, plain, ca: authority.certificate.cert };
}

function sourceOf(prefixes: string[], files: SourceFiles, more: Partial<HttpSettings> = {}) {
  const settings: HttpSettings = { name: 'mirror', type: 'http', prefixes, addresses: ['127.0.0.1'], ...more };
  const registry = new SourceRegistry(environmentOf({ lookup: lookupOf({}) }), [{ settings, files }]);
  const refuse = () => Promise.reject(new Error('no local file is expected'));
  const localFiles = { open: refuse, readText: refuse, readLink: refuse, list: refuse };
  const resolver = new SourceResolver({ registry, localFiles, inspector: new Inspector({ headerBytes: mebibyte }) });
  return async (url: string, timeoutMs = 20_000) => {
    const { shards } = await resolver.resolve({ type: 'http', url }, { signal, timeoutMs });
    const [shard] = shards;
    if (shard === undefined) throw new Error('no shard');
    return shard.open({ signal });
  };
}

t.test('files of nginx', unlessInstalled('nginx'), async (t) => {
  const { own, cdn, plain, ca } = await start(t);
  const open = sourceOf([`${own}/models/`], { ca }, { redirect_hosts: [new URL(cdn).host] });

  await t.test('a file is read over https with the authority of the settings, whole and by ranges', async (t) => {
    const source = await open(`${own}/models/plain/model.gguf`);
    t.match(source, { totalBytes: content.length, supportsRanges: true, claim: undefined });
    t.match(source.etag, /^"[0-9a-f]+-[0-9a-f]+"$/);
    t.ok((await readRange(source, whole, { signal })).equals(content));
    const part = await readRange(source, { offset: 3 * mebibyte + 5, length: 99_999 }, { signal });
    t.ok(part.equals(content.subarray(3 * mebibyte + 5, 3 * mebibyte + 5 + 99_999)));
    await t.rejects(sourceOf([`${own}/models/`], {})(`${own}/models/plain/model.gguf`), {
      code: 'SOURCE_INVALID',
      message: /TLS/,
    });
  });

  await t.test('the claim is Repr-Digest, or the sidecar', async (t) => {
    t.strictSame((await open(`${own}/models/header/model.gguf`)).claim, { digest, from: 'repr-digest' });
    t.strictSame((await open(`${own}/models/sidecar/model.gguf`)).claim, { digest, from: 'sidecar' });
  });

  await t.test('a server without ranges serves the whole file, and also a part of it', async (t) => {
    const source = await open(`${own}/models/whole/model.gguf`);
    t.equal(source.supportsRanges, false);
    t.ok((await readRange(source, whole, { signal })).equals(content));
    t.ok((await readRange(source, { offset: 1, length: 9 }, { signal })).equals(content.subarray(1, 10)));
  });

  await t.test('gzip is neither asked for nor accepted', async (t) => {
    const source = await open(`${own}/models/gzip/model.gguf`);
    t.ok((await readRange(source, whole, { signal })).equals(content));
    await t.rejects(open(`${own}/models/zipped/model.gguf`), { code: 'SOURCE_INVALID', message: /compressed/ });
  });

  await t.test('a slow server is read to its end', async (t) => {
    const source = await open(`${own}/models/slow/model.gguf`);
    t.ok((await readRange(source, whole, { signal })).equals(content));
  });

  await t.test('redirects are followed below the prefix and to the hosts of the settings', async (t) => {
    for (const name of ['moved', 'away']) {
      const source = await open(`${own}/models/${name}.gguf`);
      t.ok((await readRange(source, whole, { signal })).equals(content), name);
    }
    for (const name of ['out', 'down']) {
      await t.rejects(open(`${own}/models/${name}.gguf`), { code: 'SOURCE_FORBIDDEN' }, name);
    }
    await t.rejects(open(`${own}/models/loop.gguf`), { code: 'SOURCE_INVALID', message: /more than 5 times/ });
    const withoutHosts = sourceOf([`${own}/models/`], { ca });
    await t.rejects(withoutHosts(`${own}/models/away.gguf`), { code: 'SOURCE_FORBIDDEN', message: /redirect_hosts/ });
  });

  await t.test('the token goes to the own host alone', async (t) => {
    const token = new Secret('secret-token');
    const withToken = sourceOf([`${own}/models/`], { ca, token }, { redirect_hosts: [new URL(cdn).host] });
    t.equal((await withToken(`${own}/models/private/model.gguf`)).totalBytes, content.length);
    t.equal((await withToken(`${own}/models/away.gguf`)).totalBytes, content.length);
    await t.rejects(open(`${own}/models/private/model.gguf`), { code: 'SOURCE_AUTH_FAILED' });
  });

  await t.test('plain http needs a prefix that says so', async (t) => {
    const source = await sourceOf([`${plain}/models/`], {})(`${plain}/models/plain/model.gguf`);
    t.ok((await readRange(source, whole, { signal })).equals(content));
    await t.rejects(open(`${plain}/models/plain/model.gguf`), { code: 'SOURCE_FORBIDDEN' });
  });

  await t.test('statuses have their codes, and 429 is asked again', async (t) => {
    await t.rejects(open(`${own}/models/none.gguf`), { code: 'SOURCE_NOT_FOUND' });
    await t.rejects(open(`${own}/models/busy.gguf`), { code: 'SOURCE_UNAVAILABLE', message: /429/ });
  });
});
