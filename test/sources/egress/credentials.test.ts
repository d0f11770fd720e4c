import { inspect } from 'node:util';
import t from 'tap';
import type { Credential, SourceRequest } from '../../../src/sources/egress/request.js';
import { Secret } from '../../../src/sources/egress/secret.js';
import { HttpSource } from '../../../src/sources/http/http_source.js';
import { anySignal, httpSource, lookupOf, MemorySink } from '../../support/http_sources.js';
import { rawServer, responseHead, servePartial } from '../../support/raw_source.js';

const content = Buffer.alloc(4096, 'model');
const token = new Secret('hf_a-very-secret-token');
const credentialOf = (origin: string): Credential => ({
  origin,
  headersFor: () => ({ Authorization: `Bearer ${token.reveal()}` }),
});
const names = lookupOf({ 'hub.test': ['127.0.0.1'], 'cdn.test': ['127.0.0.1'], 'auth.test': ['127.0.0.1'] });

t.test('the host of a redirect gets no Authorization and no cookie', async (t) => {
  const cdn = await rawServer(t, (socket, request) => servePartial(socket, content, request));
  const hub = await rawServer(t, (socket) =>
    socket.end(
      responseHead('302 Found', {
        Location: `http://cdn.test:${cdn.port}/blob?signature=x`,
        'Set-Cookie': 'session=hub; Domain=test; Path=/',
        'Content-Length': 0,
      }),
    ),
  );
  const origin = `http://hub.test:${hub.port}`;
  const { egress } = httpSource({
    settings: { prefixes: [`${origin}/`], addresses: ['127.0.0.1'], redirect_hosts: [`cdn.test:${cdn.port}`] },
    environment: { lookup: names },
  });
  const source = await HttpSource.open(egress, `${origin}/model.gguf`, {
    credential: credentialOf(origin),
    signal: anySignal(),
  });
  const sink = new MemorySink();
  await source.copyTo(sink, { offset: 0, length: content.length }, { signal: anySignal() });
  t.ok(sink.content.equals(content));
  t.ok(cdn.requests.length >= 2 && hub.requests.length >= 2);
  for (const { headers } of hub.requests) t.equal(headers.get('authorization'), `Bearer ${token.reveal()}`);
  for (const { headers } of [...cdn.requests, ...hub.requests]) t.notOk(headers.has('cookie'), 'no cookie is kept');
  for (const { headers, target } of cdn.requests) {
    t.notOk(headers.has('authorization'), target);
    t.notMatch([...headers.values()].join(), /secret/);
    t.notOk(headers.has('referer'));
  }
});

t.test('another port or scheme of the same host is another origin, which gets no credentials', async (t) => {
  const other = await rawServer(t, (socket, request) => servePartial(socket, content, request));
  const hub = await rawServer(t, (socket) =>
    socket.end(
      responseHead('307 Temporary Redirect', { Location: `http://hub.test:${other.port}/x`, 'Content-Length': 0 }),
    ),
  );
  const origin = `http://hub.test:${hub.port}`;
  const { egress } = httpSource({
    settings: {
      prefixes: [`${origin}/`],
      addresses: ['127.0.0.1'],
      redirect_hosts: [`hub.test:${other.port}`],
    },
    environment: { lookup: names },
  });
  const response = await egress.fetchOk(
    {
      role: 'endpoint',
      url: new URL(`${origin}/x`),
      headers: { Range: 'bytes=0-0' },
      credential: credentialOf(origin),
    },
    anySignal(),
  );
  response.close();
  t.equal(response.isRedirected, true);
  t.equal(other.requests.length, 1);
  t.notOk(other.requests[0]?.headers.has('authorization'));
});

t.test('a redirect back to the own origin gets the credentials again', async (t) => {
  const hub = await rawServer(t, (socket, request) => {
    if (request.target === '/renamed/x') servePartial(socket, content, request);
    else socket.end(responseHead('307 Temporary Redirect', { Location: '/renamed/x', 'Content-Length': 0 }));
  });
  const origin = `http://hub.test:${hub.port}`;
  const { egress } = httpSource({
    settings: { prefixes: [`${origin}/`], addresses: ['127.0.0.1'] },
    environment: { lookup: names },
  });
  const request: SourceRequest = {
    role: 'endpoint',
    url: new URL(`${origin}/x`),
    headers: { Range: 'bytes=0-0' },
    credential: credentialOf(origin),
  };
  (await egress.fetchOk(request, anySignal())).close();
  t.ok(hub.requests.every(({ headers }) => headers.has('authorization')));
});

t.test('a 401 renews the credentials once, and not again', async (t) => {
  let renewals = 0;
  const server = await rawServer(t, (socket, request) => {
    if (request.headers.get('authorization') === 'Bearer 1') servePartial(socket, content, request);
    else socket.end(responseHead('401 Unauthorized', { 'WWW-Authenticate': 'Bearer', 'Content-Length': 0 }));
  });
  const { egress } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] } });
  const request = (works: boolean): SourceRequest => ({
    role: 'endpoint',
    url: new URL(`${server.origin}/x`),
    credential: {
      origin: server.origin,
      headersFor: () => ({ Authorization: `Bearer ${works ? renewals : 'old'}` }),
      renew: async () => {
        renewals += 1;
      },
    },
  });
  await egress.head(request(true), { signal: anySignal() });
  t.equal(renewals, 1);
  await t.rejects(egress.head(request(false), { signal: anySignal() }), { code: 'SOURCE_AUTH_FAILED' });
  t.equal(renewals, 2, 'once after the first 401; the second one is final');
  t.equal(server.connections, 4);
});

t.test('a 401 without credentials is final at once', async (t) => {
  const server = await rawServer(t, (socket) => socket.end(responseHead('401 Unauthorized', { 'Content-Length': 0 })));
  const { open } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] } });
  await t.rejects(open(`${server.origin}/x`), { code: 'SOURCE_AUTH_FAILED' });
  t.equal(server.connections, 1);
});

t.test('a token request is never redirected, so its credentials stay with the token server', async (t) => {
  const thief = await rawServer(t, () => undefined);
  const auth = await rawServer(t, (socket) =>
    socket.end(responseHead('307 Temporary Redirect', { Location: `${thief.origin}/`, 'Content-Length': 0 })),
  );
  const { egress } = httpSource({
    settings: { prefixes: [`${auth.origin}/`, `${thief.origin}/`], addresses: ['127.0.0.1'] },
  });
  const ask = egress.head({ role: 'realm', url: egress.realm(`${auth.origin}/token`) }, { signal: anySignal() });
  await t.rejects(ask, { code: 'SOURCE_INVALID' });
  t.equal(thief.connections, 0);
});

t.test('logs, JSON and messages do not show a secret', async (t) => {
  const secret = new Secret('s3cr3t');
  const shown = [`${secret}`, JSON.stringify({ secret }), inspect({ secret }, { depth: 9, showHidden: true })];
  for (const text of shown) t.notMatch(text, /s3cr3t/);
  t.equal(secret.reveal(), 's3cr3t');
});

t.test('an error repeats neither the body nor the query nor the headers of a source', async (t) => {
  const marker = 'leaked-by-the-source';
  for (const status of ['400 Bad', '401 No', '403 No', '404 No', '418 Teapot', '500 Down', '302 Found']) {
    const server = await rawServer(t, (socket) =>
      socket.end(`HTTP/1.1 ${status} ${marker}\r\nX-Error: ${marker}\r\nContent-Length: 20\r\n\r\n${marker}`),
    );
    const { open } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] } });
    const error = await open(`${server.origin}/x?signature=${marker}`, { timeoutMs: 300 }).catch(
      (each: unknown) => each,
    );
    t.ok(error instanceof Error);
    t.notMatch(inspect(error, { depth: 9, showHidden: true }), new RegExp(marker), status);
  }
});
