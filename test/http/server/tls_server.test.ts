import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { readTls } from '../../../src/config/tls_files.js';
import { closeGracefully } from '../../../src/http/plugins/graceful_close.js';
import { FileCalls } from '../../../src/storage/file_calls.js';
import { patternBytes } from '../../support/bytes.js';
import { Authority, type Certificate } from '../../support/certificates.js';
import { head, lastBody, RawClient } from '../../support/raw_http.js';
import { sha256 } from '../../support/requests.js';
import { startWorker } from '../../support/worker.js';

const mebibyte = 2 ** 20;
const bytes = patternBytes(5000);
const upload = 'PUT /v1/commit?shard_id=a&model_ref=m';

const settings = ({ certFile, keyFile }: Certificate, clients?: Authority): NodeJS.ProcessEnv => ({
  WORKER_TLS_CERT_FILE: certFile,
  WORKER_TLS_KEY_FILE: keyFile,
  ...(clients === undefined ? {} : { WORKER_TLS_CLIENT_CA_FILE: clients.certificate.certFile }),
});

/** Starts a worker with TLS. `trust` are the options of a client that trusts it. */
async function startTls(t: Test, env: NodeJS.ProcessEnv = {}) {
  const authority = new Authority(t);
  const certificate = authority.issue('worker');
  const worker = await startWorker(t, { listen: true, env: { ...settings(certificate), ...env } });
  return { ...worker, authority, certificate, trust: { ca: authority.certificate.cert } };
}

/** Resolves with the connection after the first response, or with its error. With TLS 1.3 the error can come late. */
function shakeHands(url: string, options: ConnectionOptions): Promise<TLSSocket | Error> {
  return new Promise((resolve) => {
    const socket = connectTls({ host: '127.0.0.1', port: Number(new URL(url).port), ...options });
    socket.once('error', resolve);
    socket.once('secureConnect', () => {
      socket.write('GET /livez HTTP/1.1\r\nHost: test\r\n\r\n');
      socket.once('data', () => resolve(socket));
      socket.once('close', () => resolve(new Error('closed')));
    });
  });
}

const outcome = async (url: string, options: ConnectionOptions): Promise<string> => {
  const found = await shakeHands(url, options);
  if (found instanceof Error) return 'refused';
  const protocol = found.getProtocol();
  found.destroy();
  return protocol ?? 'plain';
};

t.test('only TLS 1.2 and 1.3 are supported', async (t) => {
  const { url, trust } = await startTls(t);
  t.match(url, /^https:/, 'the printed address');
  t.equal(await outcome(url, trust), 'TLSv1.3');
  t.equal(await outcome(url, { ...trust, maxVersion: 'TLSv1.2' }), 'TLSv1.2');
  for (const version of ['TLSv1', 'TLSv1.1'] as const) {
    const old = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' };
    t.equal(await outcome(url, { ...trust, ...old }), 'refused', version);
  }
  t.equal(await outcome(url, {}), 'refused', 'a client that does not trust the CA disconnects');
});

t.test('with a client CA, only clients with its certificates can connect', async (t) => {
  const clients = new Authority(t, 'clients');
  const strangers = new Authority(t, 'strangers');
  const { url, trust, token } = await startTls(t, { WORKER_TLS_CLIENT_CA_FILE: clients.certificate.certFile });
  const known = clients.issue('poller');
  const unknown = strangers.issue('poller');
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const options = { ...trust, maxVersion };
    t.equal(await outcome(url, { ...options, cert: known.cert, key: known.key }), maxVersion);
    t.equal(
      await outcome(url, { ...options, cert: unknown.cert, key: unknown.key }),
      'refused',
      'a certificate of another CA',
    );
    t.equal(await outcome(url, options), 'refused', 'without a certificate');
  }
  const client = new RawClient(url, { ...trust, cert: known.cert, key: known.key });
  const anonymous = head('GET /v1/devices', { Authorization: undefined });
  t.match(await client.send(anonymous).until(/\}$/), / 401 /, 'a certificate does not replace the token');
  client.send(head('GET /v1/devices', { Authorization: `Bearer ${token}` }));
  t.match(await client.until(/ 200 OK/), /"devices"/);
  await client.leave();
});

t.test('uploads over TLS get 100 Continue, or are refused before the body', async (t) => {
  const { url, trust } = await startTls(t);
  const waiting = { Expect: '100-continue', 'Content-Length': bytes.length };
  const client = new RawClient(url, trust).send(head(upload, waiting));
  t.match(await client.until(/\r\n\r\n/), /^HTTP\/1.1 100 Continue\r\n\r\n$/);
  client.send(bytes);
  t.match(await client.until(/"handle".*\}$/), /HTTP\/1.1 201 Created/);
  await client.leave();
  const refused = new RawClient(url, trust).send(head(`${upload}&typo=1`, waiting));
  const heard = await refused.until(/\}$/);
  t.notMatch(heard, /100 Continue/);
  t.equal(lastBody(heard).code, 'INVALID_PARAMS');
  await refused.leave();
});

t.test('a long upload over TLS arrives completely, without direct reads', async (t) => {
  const { url, trust } = await startTls(t);
  const long = patternBytes(16 * mebibyte);
  const target = `PUT /v1/commit?shard_id=long&model_ref=m&expected_digest=${sha256(long)}`;
  const client = new RawClient(url, trust).send(head(target, { 'Content-Length': long.length })).send(long);
  t.match(await client.until(/"handle".*\}$/), / 201 Created/);
  await client.leave();
});

t.test('over TLS a client that does not wait reads the error', async (t) => {
  const { url, trust } = await startTls(t, { WORKER_MAX_MODEL_BYTES: String(mebibyte) });
  const block = new Uint8Array(mebibyte);
  for (let round = 0; round < 5; round++) {
    const client = new RawClient(url, trust).send(head(upload, { 'Content-Length': 10 * mebibyte }));
    await client.flood(block, 10 * mebibyte);
    t.equal(lastBody(await client.whole()).code, 'MODEL_TOO_LARGE');
  }
});

t.test('invalid HTTP gets a response; invalid TLS is disconnected', async (t) => {
  const { url, trust } = await startTls(t);
  const garbled = new RawClient(url, trust).send('NONSENSE\r\n\r\n');
  t.equal(lastBody(await garbled.whole()).code, 'INVALID_PARAMS');
  for (const text of [
    'GET /livez HTTP/1.1\r\nHost: test\r\n\r\n',
    '\0'.repeat(100),
    '\x16\x03\x01\x02\x00\x01nonsense',
  ]) {
    const plain = connect(Number(new URL(url).port), '127.0.0.1');
    let heard = '';
    plain.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
    });
    plain.on('error', () => undefined);
    plain.end(text, 'latin1');
    await new Promise((resolve) => plain.once('close', resolve));
    t.notMatch(heard, /HTTP/, 'no plain-text response');
  }
  t.equal(await outcome(url, trust), 'TLSv1.3');
});

t.test('while draining, idle TLS connections are closed and uploads finish', async (t) => {
  const { app, url, trust } = await startTls(t);
  const idle = new RawClient(url, trust).send(head('GET /livez'));
  await idle.until(/"ok"\}/);
  const busy = new RawClient(url, trust).send(head(upload, { 'Content-Length': 3 })).send('a');
  for (let heard = ''; !heard.includes('"state":"receiving"'); ) {
    heard = await new RawClient(url, trust).send(head('GET /v1/shards/a', { Connection: 'close' })).whole();
  }
  const closed = closeGracefully(app, 60_000);
  await idle.closed;
  busy.send('bc');
  t.match(await busy.whole(), /HTTP\/1.1 201 Created/);
  await closed;
});

t.test('a client that never begins its TLS handshake does not delay the shutdown', async (t) => {
  const { app, url } = await startTls(t, { WORKER_HEADERS_TIMEOUT_SECONDS: '300' });
  const silent = connect(Number(new URL(url).port), '127.0.0.1')
    .on('error', () => undefined)
    .resume();
  await once(silent, 'connect');
  // A connection that is accepted later has begun its handshake by now.
  await outcome(url, {});
  const left = once(silent, 'close');
  await closeGracefully(app, 0);
  await left;
  t.pass('the server closed');
});

t.test('a shutdown closes the connections that it does not serve yet', async (t) => {
  const { app, url } = await startTls(t);
  const sockets = Array.from({ length: 50 }, () => connect(Number(new URL(url).port), '127.0.0.1'));
  for (const socket of sockets) socket.on('error', () => undefined).resume();
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  await closeGracefully(app, 0);
  t.pass('the server closed');
});

t.test('new connections use a replaced certificate and client CA, open ones continue', async (t) => {
  const clients = new Authority(t, 'clients');
  const later = new Authority(t, 'later');
  const authority = new Authority(t);
  const [one, two] = [authority.issue('one'), authority.issue('two')];
  const { url, tls, config } = await startWorker(t, { listen: true, env: settings(one, clients) });
  const as = ({ cert, key }: Certificate) => ({ ca: authority.certificate.cert, cert, key });
  const [old, young] = [as(clients.issue('c')), as(later.issue('c'))];
  const seen = async (options: ConnectionOptions) => {
    const socket = await shakeHands(url, options);
    if (socket instanceof Error) return 'refused';
    const { CN } = socket.getPeerCertificate().subject;
    const session = socket.getSession();
    socket.destroy();
    return { CN, session };
  };
  const first = await seen(old);
  t.match(first, { CN: 'one' });
  const busy = new RawClient(url, old).send(head(upload, { 'Content-Length': 3 })).send('a');
  await new RawClient(url, old).send(head('GET /livez')).until(/"ok"/);
  const files = config.tls;
  if (files?.clientCaFile === undefined || tls === undefined) throw new Error('no TLS');
  t.equal(tls.replace(await readTls(files, new FileCalls(30))), false, 'identical files change nothing');
  writeFileSync(files.certFile, two.cert);
  writeFileSync(files.keyFile, two.key);
  writeFileSync(files.clientCaFile, later.certificate.cert);
  t.equal(tls.replace(await readTls(files, new FileCalls(30))), true);
  t.match(await seen(young), { CN: 'two' });
  t.equal(await seen(old), 'refused');
  const resumed = first === 'refused' || first.session === undefined ? {} : { session: first.session };
  t.equal(await seen({ ...old, ...resumed }), 'refused', 'a resumed session is refused too');
  busy.send('bc');
  t.match(await busy.until(/"handle"/), / 201 /);
  await busy.leave();
});

t.test('the docs page over TLS has the same headers', async (t) => {
  const { url, trust } = await startTls(t);
  const client = new RawClient(url, trust).send(head('GET /docs/'));
  const heard = await client.until(/\r\n\r\n.*<\/html>/s);
  t.match(heard, / 200 OK/);
  t.match(heard, /content-security-policy: default-src 'self'/i);
  t.notMatch(heard, /strict-transport-security/i, 'it would apply to every port of the host');
  await client.leave();
});

t.test('a client cannot renegotiate', async (t) => {
  const { url, trust } = await startTls(t);
  const socket = await shakeHands(url, { ...trust, maxVersion: 'TLSv1.2' });
  if (socket instanceof Error) throw socket;
  t.teardown(() => socket.destroy());
  const failed = once(socket, 'error');
  socket.renegotiate({}, () => undefined);
  t.match(await failed, [{ code: 'ERR_SSL_NO_RENEGOTIATION' }]);
});
