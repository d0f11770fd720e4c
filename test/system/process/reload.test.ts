import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:https';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { Authority, type Certificate } from '../../support/certificates.js';
import { newPrivateKey } from '../../support/key_files.js';
import { startProcess, temporaryDirectory, type WorkerProcess } from '../../support/process.js';
import { until } from '../../support/until.js';

const [first, second, third] = ['first', 'second', 'third'].map((word) => `${word}-token-0123456789abcdef0123456789`);
const reader = 'reader-token-0123456789abcdef0123456789';

/** Replaces a file by a rename, as configuration tools do. */
function replace(path: string, content: string | Uint8Array, mode = 0o600): void {
  writeFileSync(`${path}.new`, content, { mode });
  renameSync(`${path}.new`, path);
}

/** The fields of the responses that the tests read. */
interface Body {
  readonly handles: readonly { readonly handle: string }[];
  readonly keys: readonly object[];
  readonly valid: boolean;
  readonly reason: string | null;
}

async function ask(worker: WorkerProcess, token: string | undefined, path = '/v1/devices') {
  const answer = await fetch(worker.url + path, { headers: { authorization: `Bearer ${token}` } });
  return { status: answer.status, body: (await answer.json()) as Body };
}

async function currentHandle(worker: WorkerProcess, token: string | undefined): Promise<string | undefined> {
  return (await ask(worker, token, '/v1/ready')).body.handles[0]?.handle;
}

async function judge(worker: WorkerProcess, token: string | undefined, handle: string | undefined): Promise<Body> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const body = JSON.stringify({ handle });
  return (await fetch(`${worker.url}/v1/handles/verify`, { method: 'POST', headers, body })).json() as Promise<Body>;
}

async function commit(worker: WorkerProcess, token: string | undefined): Promise<string> {
  const answer = await fetch(`${worker.url}/v1/commit?shard_id=a&model_ref=m`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${token}` },
    body: patternBytes(5000),
  });
  return ((await answer.json()) as { handle: string }).handle;
}

const opens = (worker: WorkerProcess, token: string | undefined) => async () =>
  (await ask(worker, token)).status === 200;

t.test('a new token replaces the previous one, and previous handles stay valid', async (t) => {
  const directory = temporaryDirectory(t);
  // Kubernetes mounts secrets like this: the path leads through a link, and an update replaces that link.
  for (const [name, token] of [
    ['one', first],
    ['two', second],
  ] as const) {
    mkdirSync(join(directory, name));
    writeFileSync(join(directory, name, 'token'), `${token}\n`, { mode: 0o600 });
  }
  symlinkSync('one', join(directory, 'data'));
  const file = join(directory, 'token');
  symlinkSync('data/token', file);
  const worker = await startProcess(t, directory, { WORKER_API_TOKEN_FILE: file });
  const handle = await commit(worker, first);

  symlinkSync('two', join(directory, 'data.new'));
  renameSync(join(directory, 'data.new'), join(directory, 'data'));
  await until(opens(worker, second));
  // 401, or 429 after many attempts.
  t.equal(await opens(worker, first)(), false);
  await until(async () => (await currentHandle(worker, second)) !== handle);
  const current = await currentHandle(worker, second);
  for (const one of [handle, current]) t.match(await judge(worker, second, one), { valid: true });
  t.equal(await commit(worker, second), current, 'a retry gets the current handle');
  for (const token of [first, second]) t.notMatch(worker.output(), String(token));
});

t.test('SIGHUP reloads every file; if one is invalid, the worker keeps the previous version', async (t) => {
  const directory = temporaryDirectory(t);
  const [token, read, seal] = ['token', 'read', 'seal'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(token, String(first), { mode: 0o600 });
  writeFileSync(read, reader, { mode: 0o600 });
  writeFileSync(seal, newPrivateKey(), { mode: 0o600 });
  const worker = await startProcess(t, directory, {
    WORKER_API_TOKEN_FILE: token,
    WORKER_READ_TOKEN_FILE: read,
    WORKER_SEAL_ALG: 'Ed25519',
    WORKER_SEAL_KEY_FILE: seal,
    WORKER_KEY_GRACE_SECONDS: '0',
  });
  const handle = await commit(worker, first);
  const failures = () => worker.output().match(/reload failed; keeping the previous version/g)?.length ?? 0;
  const bad: readonly (readonly [string, string, number?])[] = [
    [token, ''],
    [token, 'short'],
    [token, `${second} ${second}`],
    [token, String(second), 0o644],
    [token, reader],
    [seal, 'x'.repeat(100)],
    [seal, String(newPrivateKey()).replace('PRIVATE', 'PUBLIC')],
  ];
  for (const [path, content, mode] of bad) {
    const before = failures();
    replace(path, content, mode);
    worker.child.kill('SIGHUP');
    await until(() => failures() > before);
    t.equal((await ask(worker, first)).status, 200, 'the previous token still works');
    t.equal((await ask(worker, reader)).status, 200);
    t.match(await judge(worker, first, handle), { valid: true }, 'and so does the previous key');
    rmSync(path);
    if (path === token) replace(token, String(first));
  }
  replace(seal, newPrivateKey('der'));
  replace(token, String(third));
  worker.child.kill('SIGHUP');
  await until(opens(worker, third));
  await until(async () => (await judge(worker, third, handle)).reason === 'unknown_key');
  t.equal((await ask(worker, first)).status, 401);
  t.equal((await ask(worker, reader)).status, 200);
  t.equal((await ask(worker, third, '/.well-known/jwks.json')).body.keys.length, 1);
  for (const secret of [first, third, reader, 'x'.repeat(100)]) t.notMatch(worker.output(), String(secret));
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
});

t.test('SIGHUP reloads certificates, unless the key is that of another certificate', async (t) => {
  const authority = new Authority(t);
  const [one, two] = [authority.issue('one'), authority.issue('two')];
  const directory = temporaryDirectory(t);
  const [certFile, keyFile] = [join(directory, 'tls.crt'), join(directory, 'tls.key')];
  const put = ({ cert }: Pick<Certificate, 'cert'>, { key }: Pick<Certificate, 'key'>) => {
    replace(certFile, cert);
    replace(keyFile, key);
  };
  put(one, one);
  const worker = await startProcess(t, directory, { WORKER_TLS_CERT_FILE: certFile, WORKER_TLS_KEY_FILE: keyFile });
  const served = () =>
    new Promise<string>((resolve, reject) => {
      const agent = new Agent({ ca: authority.certificate.cert });
      get(`${worker.url}/livez`, { agent }, (answer) => {
        resolve(String((answer.socket as TLSSocket).getPeerCertificate().subject.CN));
        answer.resume();
      }).once('error', reject);
    });
  t.equal(await served(), 'one');
  t.match(worker.output(), new RegExp(`curl -sS --cacert ${certFile}`), 'the printed commands use the certificate');
  put(two, one);
  worker.child.kill('SIGHUP');
  await until(() => worker.output().includes('WORKER_TLS_KEY_FILE'));
  t.equal(await served(), 'one');
  put(two, two);
  worker.child.kill('SIGHUP');
  await until(async () => (await served()) === 'two');
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
});

t.test('the settings of remote sources are reloaded when they, or a file that they name, change', async (t) => {
  const directory = temporaryDirectory(t);
  const [file, token, other] = ['sources.json', 'hub-token', 'other-token'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  const hub = (path: string) => ({ name: 'hub', type: 'hf', endpoint: 'https://hub.test', token_file: path });
  const sources = (...list: object[]) => JSON.stringify({ sources: list });
  writeFileSync(file, sources(hub(token)), { mode: 0o644 });
  writeFileSync(token, 'hf_first', { mode: 0o600 });
  const worker = await startProcess(t, directory, { WORKER_SOURCES_FILE: file });
  const count = (pattern: RegExp) => worker.output().match(pattern)?.length ?? 0;
  const reloads = () => count(/"files":"sources".*"msg":"reloaded"/g);
  const failures = () => count(/reload failed; keeping the previous version/g);

  replace(token, 'hf_second');
  await until(() => reloads() === 1, 'the new token was not read');
  replace(file, sources(hub(other)), 0o644);
  await until(() => failures() === 1, 'the missing file was not reported');
  t.match(worker.output(), /WORKER_SOURCES_FILE: hub: token_file names a file that does not exist/);
  writeFileSync(other, 'hf_third', { mode: 0o600 });
  await until(() => reloads() === 2, 'the file that appeared was not read');
  replace(other, 'hf third', 0o600);
  await until(() => failures() === 2);
  replace(file, `${sources(hub(other)).slice(0, -1)},"typo":1}`, 0o644);
  await until(() => failures() === 3);
  t.match(worker.output(), /WORKER_SOURCES_FILE: .*unknown field typo/);
  t.notMatch(worker.output(), /hf_first|hf_second|hf_third|hf third/);
});
