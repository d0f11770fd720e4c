import type { IncomingMessage, ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import { FakeRegistry } from '../../support/fake_registry.js';
import { anySignal } from '../../support/http_sources.js';
import { firstShard, loginFor, ociSource } from '../../support/oci_sources.js';

const weights = Buffer.alloc(700_000, 'weights ');

interface TokenServer {
  /** The tokens that the registry accepts. */
  readonly valid: Set<string>;
  readonly asked: IncomingMessage[];
  challenge: string;
  answer: (response: ServerResponse, token: string) => void;
}

/** A registry with token authorization. Its own origin is the token server. */
async function start(t: Test) {
  const registry = await FakeRegistry.start(t);
  registry.addManifest('latest', [registry.addBlob(weights, 'application/vnd.ollama.image.model')]);
  const tokens: TokenServer = {
    valid: new Set(),
    asked: [],
    challenge: `Bearer realm="${registry.origin}/token?x=1",service="lab",scope="repository:secret/other:pull,push"`,
    answer: (response, token) => void response.end(JSON.stringify({ token, expires_in: 60 })),
  };
  registry.intercept = (request, response) => {
    if (request.url?.startsWith('/token') === true) {
      tokens.asked.push(request);
      const token = `token-${tokens.asked.length}`;
      tokens.valid.add(token);
      tokens.answer(response, token);
      return true;
    }
    if (tokens.valid.has(request.headers.authorization?.replace(/^Bearer /, '') ?? '')) return false;
    response.writeHead(401, { 'WWW-Authenticate': tokens.challenge }).end();
    return true;
  };
  return { registry, tokens };
}

t.test('a token is asked for once, with the login, and serves the manifest and the blobs', async (t) => {
  const { registry, tokens } = await start(t);
  const { resolve } = ociSource({ endpoint: registry.origin, files: loginFor(`127.0.0.1:${registry.port}`) });
  t.ok((await firstShard(await resolve())).equals(weights));
  t.equal(tokens.asked.length, 1);
  const [asked] = tokens.asked;
  const url = new URL(asked?.url ?? '', registry.origin);
  t.strictSame(
    [...url.searchParams],
    [
      ['x', '1'],
      ['service', 'lab'],
      ['scope', 'repository:models/llama:pull'],
    ],
    'the scope is that of the worker, not that of the challenge',
  );
  t.equal(asked?.headers.authorization, `Basic ${Buffer.from('robot:pa:ss wörd').toString('base64')}`);
  t.ok(
    registry.requests
      .filter(({ url }) => url?.startsWith('/v2/'))
      .every(({ headers }) => !headers.authorization?.startsWith('Basic')),
  );
});

t.test('a public repository needs a token, and no credentials', async (t) => {
  const { registry, tokens } = await start(t);
  tokens.answer = (response, token) => void response.end(JSON.stringify({ access_token: token }));
  const { resolve } = ociSource({ endpoint: registry.origin });
  await resolve();
  t.equal(tokens.asked[0]?.headers.authorization, undefined);
});

t.test('transfers that learn at the same time that a token ended ask for one token', async (t) => {
  const { registry, tokens } = await start(t);
  const { resolve } = ociSource({ endpoint: registry.origin });
  const model = await resolve();
  tokens.valid.clear();
  const read = await Promise.all(Array.from({ length: 6 }, () => firstShard(model)));
  t.ok(read.every((bytes) => bytes.equals(weights)));
  t.equal(tokens.asked.length, 2);
});

t.test('a token that is refused at once is replaced once, then the request fails', async (t) => {
  const { registry, tokens } = await start(t);
  tokens.answer = (response) => void response.end(JSON.stringify({ token: 'useless' }));
  const { resolve } = ociSource({ endpoint: registry.origin });
  await t.rejects(resolve(), { code: 'SOURCE_AUTH_FAILED' });
  t.equal(tokens.asked.length, 1);
});

t.test('Basic uses the login, and needs one', async (t) => {
  const { registry, tokens } = await start(t);
  tokens.challenge = 'Basic realm="lab"';
  const basic = `Basic ${Buffer.from('robot:pa:ss wörd').toString('base64')}`;
  tokens.valid.add(basic);
  const { resolve } = ociSource({ endpoint: registry.origin, files: loginFor(`127.0.0.1:${registry.port}`) });
  t.ok((await firstShard(await resolve())).equals(weights));
  t.equal(registry.requests.filter(({ headers }) => headers.authorization === undefined).length, 1);
  const { resolve: anonymous } = ociSource({ endpoint: registry.origin, files: loginFor('other.test') });
  await t.rejects(anonymous(), { code: 'SOURCE_AUTH_FAILED', message: /set docker_config_file/ });
  tokens.valid.clear();
  const before = registry.requests.length;
  await t.rejects(resolve(), { code: 'SOURCE_AUTH_FAILED' });
  t.equal(registry.requests.length - before, 2, 'a refused login is not sent again, because accounts are locked');
});

t.test('a login is used even if the registry hides a private repository from anonymous readers', async (t) => {
  const { registry, tokens } = await start(t);
  const { intercept } = registry;
  registry.intercept = (request, response) => {
    const isHidden = request.url?.includes('/manifests/') === true && request.headers.authorization === undefined;
    if (isHidden) response.writeHead(404).end();
    return isHidden || intercept(request, response);
  };
  const { resolve } = ociSource({ endpoint: registry.origin, files: loginFor(`127.0.0.1:${registry.port}`) });
  await resolve();
  t.equal(registry.log[0], 'GET /v2/');
  t.equal(tokens.asked.length, 1);
  const { resolve: anonymous } = ociSource({ endpoint: registry.origin });
  await t.rejects(anonymous(), { code: 'SOURCE_NOT_FOUND' });
});

t.test('a registry without a challenge at its base needs no authorization there', async (t) => {
  const { registry, tokens } = await start(t);
  const { intercept } = registry;
  for (const status of [200, 404, 503]) {
    registry.intercept = (request, response) => {
      if (request.url === '/v2/') response.writeHead(status).end();
      return request.url === '/v2/' || intercept(request, response);
    };
    const { resolve } = ociSource({ endpoint: registry.origin, files: loginFor(`127.0.0.1:${registry.port}`) });
    await resolve();
  }
  t.equal(tokens.asked.length, 3);
});

t.test('answers of token servers and challenges that are useless are refused', async (t) => {
  const { registry, tokens } = await start(t);
  const { resolve } = ociSource({ endpoint: registry.origin });
  for (const [status, body, code] of [
    [200, '{}', 'SOURCE_INVALID'],
    [200, '{"token":""}', 'SOURCE_INVALID'],
    [200, '{"token":1}', 'SOURCE_INVALID'],
    [200, 'token', 'SOURCE_INVALID'],
    [200, 'null', 'SOURCE_INVALID'],
    [200, '5', 'SOURCE_INVALID'],
    [503, '', 'SOURCE_UNAVAILABLE'],
    [200, '{"token":"a","token":"b"}', 'SOURCE_INVALID'],
    [200, '{"token":"a\\r\\nX: y"}', 'SOURCE_AUTH_FAILED'],
    [200, `{"token":"${'x'.repeat(65_536)}"}`, 'SOURCE_INVALID'],
    [401, '', 'SOURCE_AUTH_FAILED'],
    [403, '', 'SOURCE_AUTH_FAILED'],
    [404, '', 'SOURCE_AUTH_FAILED'],
  ] as const) {
    tokens.answer = (response) => void response.writeHead(status).end(body);
    await t.rejects(resolve(), { code }, `${status} ${body.slice(0, 40)}`);
  }
  tokens.answer = (response) => void response.writeHead(401).end();
  await t.rejects(resolve(), { message: /without credentials: set docker_config_file \(status 401\)/ });
  const { resolve: robot } = ociSource({ endpoint: registry.origin, files: loginFor(`127.0.0.1:${registry.port}`) });
  await t.rejects(robot(), { message: /for the credentials of the source \(status 401\)/ });
  for (const [challenge, code] of [
    ['Bearer service="lab"', 'SOURCE_INVALID'],
    ['Bearer realm="a",realm="b"', 'SOURCE_INVALID'],
    ['Bearer realm="/token"', 'SOURCE_INVALID'],
    ['Negotiate', 'SOURCE_AUTH_FAILED'],
    ['', 'SOURCE_AUTH_FAILED'],
  ] as const) {
    tokens.challenge = challenge;
    await t.rejects(resolve({}, { signal: anySignal() }), { code }, challenge);
  }
});
