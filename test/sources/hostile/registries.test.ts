import { inspect } from 'node:util';
import t, { type Test } from 'tap';
import { FakeRegistry, ociIndex, ociManifest, serveBlob, sha256, title } from '../../support/fake_registry.js';
import { lookupOf } from '../../support/http_sources.js';
import { firstShard, loginFor, type OciTestSource, ociSource } from '../../support/oci_sources.js';
import { rawServer, responseHead } from '../../support/raw_source.js';

// Registries and token servers that lie, and what other programs did with them.

const weights = Buffer.alloc(1024 * 1024, 'weights ');
const model = 'application/vnd.ollama.image.model';
const layerOf = (digest: string) => ({ mediaType: model, digest, size: weights.length });

/** A registry with one artifact, and a source of it with a login. */
async function start(t: Test, source: Partial<OciTestSource> = {}) {
  const registry = await FakeRegistry.start(t);
  const layer = registry.addBlob(weights, model, { [title]: 'model.gguf' });
  const digest = registry.addManifest('latest', [layer]);
  const files = loginFor(`127.0.0.1:${registry.port}`, 'secret-password');
  const { resolve } = ociSource({ endpoint: registry.origin, files, ...source });
  return { registry, layer, digest, resolve };
}

/** Answers each request with a challenge, until it has an authorization. */
function challenge(registry: FakeRegistry, text: string): void {
  registry.intercept = ({ headers }, response) => {
    if (headers.authorization !== undefined) return false;
    response.writeHead(401, { 'WWW-Authenticate': text }).end();
    return true;
  };
}

t.test('a token server that is not on realm_hosts gets no connection (CVE-2025-51471)', async (t) => {
  const thief = await rawServer(t, () => undefined);
  const { registry, resolve } = await start(t, { settings: { realm_hosts: ['auth.test'] } });
  for (const realm of [
    `${thief.origin}/token`,
    `http://localhost:${thief.port}/token`,
    'https://auth.test.evil.test/token',
    'https://auth.test@evil.test/token',
    `http://auth.test:${thief.port}/token`,
    '//evil.test/token',
    'file:///etc/passwd',
    `${thief.origin}\\\\@auth.test/token`,
  ]) {
    challenge(registry, `Bearer realm="${realm}",service="x"`);
    await t.rejects(resolve(), { code: /^SOURCE_(FORBIDDEN|INVALID)$/ }, realm);
  }
  t.equal(thief.connections, 0);
});

t.test(
  'a token server with an internal address gets no connection, for the manifest and for a blob (CVE-2026-33990)',
  async (t) => {
    const internal = await rawServer(t, () => undefined, '127.0.0.3');
    const { registry, resolve } = await start(t, {
      settings: { realm_hosts: [`auth.test:${internal.port}`, 'metadata.test'] },
      environment: { lookup: lookupOf({ 'auth.test': ['127.0.0.3'], 'metadata.test': ['169.254.169.254'] }) },
    });
    const open = await resolve();
    for (const realm of [`http://auth.test:${internal.port}/token`, 'http://metadata.test/latest/meta-data/']) {
      challenge(registry, `Bearer realm="${realm}"`);
      await t.rejects(resolve(), { code: 'SOURCE_FORBIDDEN' }, realm);
      await t.rejects(firstShard(open), { code: 'SOURCE_FORBIDDEN' }, realm);
    }
    t.equal(internal.connections, 0);
  },
);

t.test('a token server cannot pass the credentials on', async (t) => {
  const thief = await rawServer(t, () => undefined);
  const { registry, resolve } = await start(t, { settings: { redirect_hosts: [`127.0.0.1:${thief.port}`] } });
  registry.intercept = (request, response) => {
    if (request.url?.startsWith('/token') === true) response.writeHead(307, { Location: `${thief.origin}/` }).end();
    else response.writeHead(401, { 'WWW-Authenticate': `Bearer realm="${registry.origin}/token"` }).end();
    return true;
  };
  await t.rejects(resolve(), { code: 'SOURCE_INVALID' });
  t.equal(thief.connections, 0);
});

t.test('a digest that is a path never becomes a request (CVE-2024-37032, CVE-2026-7020)', async (t) => {
  const { registry, resolve } = await start(t);
  const hex = sha256(weights).slice(7);
  for (const digest of [
    `sha256:../../../../etc/passwd`,
    `../${sha256(weights)}`,
    `sha256:${hex}/../x`,
    hex,
    `sha256:${hex.slice(2)}..`,
  ]) {
    registry.addManifest('layer', [{ ...layerOf(digest), annotations: { [title]: 'model.gguf' } }]);
    registry.addDocument('index', {
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [{ mediaType: ociManifest, digest, size: 2 }],
    });
    for (const reference of ['layer', 'index']) {
      await t.rejects(resolve({ reference }), { code: 'SOURCE_INVALID' }, `${reference} ${digest}`);
    }
  }
  t.ok(
    registry.log.every((line) => / \/v2\/$|\/manifests\/(layer|index)$/.test(line)),
    'no other path was requested',
  );
});

t.test('a manifest must have the digest that was asked for, and the one that its registry states', async (t) => {
  const { registry, digest, resolve } = await start(t);
  const other = registry.addManifest('other', [registry.addBlob(Buffer.from('evil'), model)]);
  const text = await fetch(`${registry.origin}/v2/x/manifests/${other}`).then((response) => response.text());
  const headers = { 'Content-Type': ociManifest };
  for (const stated of [undefined, digest, other]) {
    registry.intercept = (request, response) => {
      if (!request.url?.endsWith(digest)) return false;
      response.writeHead(200, stated === undefined ? headers : { ...headers, 'Docker-Content-Digest': stated });
      response.end(text);
      return true;
    };
    await t.rejects(resolve({ reference: digest }), { code: 'SOURCE_INVALID' }, `pinned, stated ${stated}`);
    registry.addDocument('index', {
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [{ mediaType: ociManifest, digest, size: Buffer.byteLength(text) }],
    });
    await t.rejects(resolve({ reference: 'index' }), { code: 'SOURCE_INVALID' }, `by an index, stated ${stated}`);
  }
  for (const stated of [other, 'sha256:x', `${digest}, ${digest}`, '']) {
    registry.intercept = (_, response) => {
      response.writeHead(200, { ...headers, 'Docker-Content-Digest': stated }).end(`${text} `);
      return true;
    };
    await t.rejects(resolve(), { code: 'SOURCE_INVALID' }, `a tag, stated ${stated}`);
  }
});

t.test('a manifest of more than 4 MiB is refused, with a length and without one', async (t) => {
  const { registry, resolve } = await start(t);
  const huge = Buffer.alloc(5 * 1024 * 1024, ' ');
  const before = process.memoryUsage().rss;
  for (const length of [true, false]) {
    registry.intercept = (_, response) => {
      response.writeHead(200, { 'Content-Type': ociManifest, ...(length ? { 'Content-Length': huge.length } : {}) });
      response.end(huge);
      return true;
    };
    await t.rejects(resolve(), { code: 'SOURCE_INVALID', message: /more than 4194304 bytes/ });
  }
  registry.intercept = (_, response) => {
    response.writeHead(200, { 'Content-Type': ociManifest });
    const more = (): void => void (response.destroyed || response.write(huge, more));
    more();
    return true;
  };
  await t.rejects(resolve(), { code: 'SOURCE_INVALID' }, 'without an end');
  t.ok(process.memoryUsage().rss - before < 128 * 1024 * 1024);
});

t.test('a manifest with duplicate keys, of two kinds, or with another type than its response is refused', async (t) => {
  const { registry, layer, resolve } = await start(t);
  const good = JSON.stringify({ schemaVersion: 2, layers: [layer] });
  registry.addText('duplicate', good.replace('"layers"', '"layers":[],"layers"'), ociManifest);
  registry.addText(
    'duplicate-digest',
    good.replace('"digest"', `"digest":"${sha256(Buffer.from('x'))}","digest"`),
    ociManifest,
  );
  registry.addText('escaped', good.replace('"layers"', '"layers":[],"l\\u0061yers"'), ociManifest);
  const keys = Array.from({ length: 65_536 }, (_, index) => `"${index}":""`).join();
  registry.addText('keys', good.replace('"layers"', `"annotations":{${keys}},"layers"`), ociManifest);
  registry.addText('cut', good.slice(0, -1), ociManifest);
  registry.addText('deep', '['.repeat(100_000), ociManifest);
  registry.addDocument('both', { schemaVersion: 2, mediaType: ociManifest, layers: [layer], manifests: [] });
  registry.addDocument('type', { schemaVersion: 2, mediaType: ociManifest, layers: [layer] }, ociIndex);
  for (const reference of ['duplicate', 'duplicate-digest', 'escaped', 'keys', 'cut', 'deep', 'both', 'type']) {
    await t.rejects(resolve({ reference }), { code: 'SOURCE_INVALID' }, reference);
  }
  await t.rejects(resolve({ reference: 'duplicate' }), { message: /duplicate/ });
});

t.test('the host of a blob redirect gets no authorization, and cannot ask for it', async (t) => {
  const headers: (string | undefined)[] = [];
  const cdn = await FakeRegistry.start(t);
  let refuse = false;
  cdn.intercept = (request, response) => {
    headers.push(request.headers.authorization);
    if (refuse) response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="give me the login"' }).end();
    else serveBlob(request, response.setHeader('Docker-Content-Digest', 'of another host'), weights);
    return true;
  };
  const { registry, resolve } = await start(t, { settings: { redirect_hosts: [`127.0.0.1:${cdn.port}`] } });
  for (const form of ['Basic realm="x"', 'Bearer']) {
    registry.intercept = (request, response) => {
      if (request.url?.startsWith('/token') === true) response.end('{"token":"secret-token"}');
      else if (request.headers.authorization === undefined) {
        const text = form === 'Bearer' ? `Bearer realm="${registry.origin}/token"` : form;
        response.writeHead(401, { 'WWW-Authenticate': text }).end();
      } else if (request.url?.includes('/blobs/') === true) {
        response.writeHead(307, { Location: `${cdn.origin}/blob?X-Signature=s` }).end();
      } else return false;
      return true;
    };
    refuse = false;
    t.ok((await firstShard(await resolve())).equals(weights), form);
    refuse = true;
    await t.rejects(firstShard(await resolve()), { code: 'SOURCE_AUTH_FAILED' }, form);
  }
  t.ok(headers.length >= 6);
  t.ok(
    headers.every((each) => each === undefined),
    'Authorization was never forwarded',
  );
  const { resolve: strict } = ociSource({ endpoint: registry.origin, files: loginFor(`127.0.0.1:${registry.port}`) });
  await t.rejects(firstShard(await strict()), { code: 'SOURCE_FORBIDDEN', message: /redirect_hosts/ });
});

t.test(
  'a 401 in the middle of a blob renews the token once, and the transfer continues with the next byte',
  async (t) => {
    const { registry, layer, resolve } = await start(t);
    let tokens = 0;
    let accepted = '';
    let isCut = false;
    registry.intercept = (request, response) => {
      if (request.url?.startsWith('/token') === true) {
        tokens += 1;
        accepted = `Bearer t${tokens}`;
        response.end(JSON.stringify({ token: `t${tokens}` }));
        return true;
      }
      if (request.headers.authorization !== accepted) {
        response.writeHead(401, { 'WWW-Authenticate': `Bearer realm="${registry.origin}/token"` }).end();
        return true;
      }
      if (isCut || request.headers.range !== `bytes=0-${weights.length - 1}`) return false;
      isCut = true;
      response.writeHead(206, { 'Content-Range': `bytes 0-${weights.length - 1}/${weights.length}` });
      response.write(weights.subarray(0, 600_000), () => {
        accepted = 'none: the token has ended';
        setTimeout(() => response.destroy(), 50);
      });
      return true;
    };
    const retries: string[] = [];
    const bytes = await firstShard(await resolve(), { onRetry: ({ error }) => retries.push(error.code) });
    t.ok(bytes.equals(weights));
    t.equal(tokens, 2);
    t.strictSame(retries, ['SOURCE_UNAVAILABLE', 'SOURCE_AUTH_FAILED']);
    const ranges = registry.requests.flatMap(({ headers }) => headers.range ?? []);
    t.equal(ranges.at(-1), `bytes=600000-${layer.size - 1}`);
  },
);

t.test('a registry that refuses each new token ends the transfer', async (t) => {
  const { registry, resolve } = await start(t);
  const open = await resolve();
  let tokens = 0;
  registry.intercept = (request, response) => {
    if (request.url?.startsWith('/token') === true) {
      tokens += 1;
      response.end(JSON.stringify({ token: `t${tokens}` }));
    } else response.writeHead(401, { 'WWW-Authenticate': `Bearer realm="${registry.origin}/token"` }).end();
    return true;
  };
  await t.rejects(firstShard(open), { code: 'SOURCE_AUTH_FAILED' });
  t.equal(tokens, 1);
});

t.test('a blob of another length or digest than its manifest states is refused before its bytes', async (t) => {
  const { registry, layer, resolve } = await start(t);
  registry.addManifest('short', [{ ...layer, size: layer.size + 1 }]);
  registry.addManifest('long', [{ ...layer, size: layer.size - 1 }]);
  for (const reference of ['short', 'long']) {
    await t.rejects(firstShard(await resolve({ reference })), { code: 'SOURCE_INVALID', message: /another length/ });
  }
  const open = await resolve();
  registry.intercept = (request, response) => {
    serveBlob(request, response, Buffer.alloc(weights.length, 'evil'));
    return true;
  };
  await t.rejects(firstShard(open), { code: 'SOURCE_INVALID', message: /Docker-Content-Digest/ });
});

t.test('the URLs and the inline data of a descriptor are never used', async (t) => {
  const canary = await rawServer(t, () => undefined);
  const { registry, layer, resolve } = await start(t);
  const foreign = { ...layer, urls: [`${canary.origin}/blob`], data: Buffer.from('evil').toString('base64') };
  registry.addManifest('foreign', [foreign]);
  t.ok((await firstShard(await resolve({ reference: 'foreign' }))).equals(weights));
  t.equal(canary.connections, 0);
});

t.test('errors repeat no text of a registry, and no secret', async (t) => {
  const marker = 'leaked-by-the-registry';
  const { registry, layer, resolve } = await start(t);
  registry.addManifest('name', [{ ...layer, annotations: { [title]: `../${marker}` } }]);
  registry.addManifest('packed', [
    { ...layer, mediaType: `application/${marker}.tar`, annotations: { [title]: 'x.gguf' } },
  ]);
  registry.addDocument('type', { schemaVersion: 2, mediaType: marker, layers: [] });
  registry.addManifest('digest', [layerOf(marker)]);
  registry.addText('json', marker, ociManifest);
  const errors: unknown[] = [];
  for (const reference of ['name', 'packed', 'type', 'digest', 'json']) {
    errors.push(await resolve({ reference }).catch((error: unknown) => error));
  }
  for (const text of [
    `Bearer realm="https://${marker}.test/"`,
    `${marker} x`,
    `Bearer realm="${marker}"`,
    `Basic "${marker}"`,
  ]) {
    challenge(registry, text);
    errors.push(await resolve().catch((error: unknown) => error));
  }
  for (const status of [400, 401, 403, 404, 500]) {
    registry.intercept = (request, response) => {
      if (request.url?.startsWith('/token') !== true)
        response.writeHead(401, { 'WWW-Authenticate': `Bearer realm="${registry.origin}/token"` }).end();
      else response.writeHead(status, marker).end(JSON.stringify({ details: marker }));
      return true;
    };
    errors.push(await resolve({}, { timeoutMs: 300 }).catch((error: unknown) => error));
  }
  t.equal(errors.length, 14);
  for (const error of errors) {
    t.ok(error instanceof Error);
    const shown = inspect(error, { depth: 9, showHidden: true });
    const isHost = /named the token server leaked-by-the-registry\.test: it is not in realm_hosts/.test(shown);
    if (!isHost) t.notMatch(shown, new RegExp(marker));
    t.notMatch(shown, /secret-password|Basic c/);
  }
});

t.test('a registry that never answers well ends by the policy, and a signal ends it at once', async (t) => {
  const silent = await rawServer(t, (socket) =>
    socket.end(responseHead('503 Down', { 'Content-Length': 0, 'Retry-After': 7200 })),
  );
  const { resolve } = ociSource({ endpoint: silent.origin });
  await t.rejects(resolve({}, { timeoutMs: 60_000 }), { code: 'SOURCE_UNAVAILABLE' });
  const abort = new AbortController();
  const hung = await rawServer(t, () => abort.abort(new Error('gone')));
  const { resolve: wait } = ociSource({ endpoint: hung.origin });
  await t.rejects(wait({}, { signal: abort.signal }), { message: 'gone' });
});
