import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ConfigError } from '../../src/config/config_error.js';
import { type Config, loadConfig } from '../../src/config/load.js';
import { Authority } from '../support/certificates.js';
import { secretFile as keyFile, newPrivateKey } from '../support/key_files.js';
import { temporaryDirectory } from '../support/process.js';

const secret = '0123456789abcdef0123456789abcdef';

function secretFile(t: Test, content = `${secret}\n`, mode = 0o600): string {
  const path = join(temporaryDirectory(t), 'token');
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

const load = (env: NodeJS.ProcessEnv, simulate = false): Promise<Config> =>
  loadConfig(env, { simulate, directory: '/nowhere' });

t.test('an empty environment gives the defaults', async (t) => {
  const file = secretFile(t);
  t.match(await load({ WORKER_API_TOKEN_FILE: file, PATH: '/bin' }), {
    bindHost: '127.0.0.1',
    bindPort: 8001,
    workerId: hostname(),
    logLevel: 'info',
    apiToken: Buffer.from(secret),
    sealSecret: Buffer.from(secret),
    modelDir: undefined,
    maxModelBytes: 100 * 1024 ** 3,
    commitSlots: 32,
    commitQueue: 256,
    driverTimeoutSeconds: 60,
    headersTimeoutSeconds: 15,
    gpuDevices: undefined,
    readyPublic: false,
    drainSeconds: 30,
    scrubSeconds: 3600,
    scrubBytesPerSecond: 1024 ** 3,
    manifest: undefined,
    auditLog: undefined,
    auditMaxBytes: 64 * 1024 ** 2,
  });
});

t.test('the worker reads every setting', async (t) => {
  const file = secretFile(t);
  const directory = t.testdir({ seal: 's'.repeat(40), models: {} });
  chmodSync(join(directory, 'seal'), 0o400);
  const config = await load({
    WORKER_API_TOKEN_FILE: file,
    WORKER_SEAL_KEY_FILE: join(directory, 'seal'),
    WORKER_MODEL_DIR: join(directory, 'models'),
    WORKER_BIND_ADDR: '[::1]:9000',
    WORKER_ID: 'gpu-7',
    WORKER_GPU_DEVICES: '1,3',
    WORKER_READY_PUBLIC: 'on',
    WORKER_SCRUB_SECONDS: '0',
    WORKER_SCRUB_BYTES_PER_SECOND: '1048576',
    WORKER_MANIFEST: 'manifest.json',
    WORKER_MAX_MODEL_BYTES: '9007199254740991',
  });
  t.match(config, {
    bindHost: '::1',
    bindPort: 9000,
    workerId: 'gpu-7',
    sealSecret: Buffer.from('s'.repeat(40)),
    modelDir: join(directory, 'models'),
    gpuDevices: [1, 3],
    readyPublic: true,
    scrubSeconds: 0,
    scrubBytesPerSecond: 1024 ** 2,
    manifest: 'manifest.json',
    maxModelBytes: Number.MAX_SAFE_INTEGER,
  });
});

t.test('an error names the invalid setting', async (t) => {
  for (const name of ['WORKER_AUDIT_LOG', 'WORKER_TLS_CLIENT_CA_FILE', 'WORKER_BIND_ADDR']) {
    await t.rejects(load({ WORKER_API_TOKEN_FILE: secretFile(t), [name]: '' }), {
      message: new RegExp(`${name} is empty`),
    });
  }
  const file = secretFile(t);
  const wrong: readonly (readonly [string, string])[] = [
    ['WORKER_BIND_ADRR', '127.0.0.1:8001'],
    ['WORKER_BIND_ADDR', '127.0.0.1'],
    ['WORKER_BIND_ADDR', '127.0.0.1:70000'],
    ['WORKER_ID', 'a b'],
    ['WORKER_LOG_LEVEL', 'loud'],
    ['WORKER_MODEL_DIR', '/nonexistent'],
    ['WORKER_MODEL_DIR', import.meta.filename],
    ['WORKER_MAX_MODEL_BYTES', '0'],
    ['WORKER_MAX_MODEL_BYTES', '1e9'],
    ['WORKER_MAX_MODEL_BYTES', '9007199254740993'],
    ['WORKER_COMMIT_SLOTS', '-1'],
    ['WORKER_COMMIT_SLOTS', '2.5'],
    ['WORKER_COMMIT_QUEUE', '65537'],
    ['WORKER_DRIVER_TIMEOUT_SECONDS', '0'],
    ['WORKER_HEADERS_TIMEOUT_SECONDS', '0'],
    ['WORKER_CUDA_KERNELS', '/nonexistent'],
    ['WORKER_CUDA_KERNELS', '/'],
    ['WORKER_GPU_DEVICES', '0,0'],
    ['WORKER_GPU_DEVICES', 'all'],
    ['WORKER_AUDIT_MAX_BYTES', '4095'],
    ['WORKER_AUDIT_MAX_BYTES', '64MiB'],
    ['WORKER_READY_PUBLIC', 'yes'],
    ['WORKER_DRAIN_SECONDS', '99999'],
    ['WORKER_SCRUB_SECONDS', '-1'],
    ['WORKER_SCRUB_SECONDS', '2000001'],
    ['WORKER_SCRUB_BYTES_PER_SECOND', '0'],
    ['WORKER_SEAL_KEY_FILE', '/nonexistent'],
    ['WORKER_SEAL_ALG', 'none'],
    ['WORKER_SEAL_ALG', 'hs256'],
    ['WORKER_KEY_GRACE_SECONDS', '604801'],
    ['WORKER_KEY_GRACE_SECONDS', '-1'],
    ['WORKER_READ_TOKEN_FILE', '/nonexistent'],
    ['WORKER_TLS_CERT_FILE', '/nonexistent'],
    ['WORKER_TLS_KEY_FILE', '/nonexistent'],
    ['WORKER_TLS_CLIENT_CA_FILE', '/nonexistent'],
  ];
  for (const [name, value] of wrong) {
    const attempt = load({ WORKER_API_TOKEN_FILE: file, [name]: value });
    await t.rejects(attempt, { name: 'ConfigError', message: new RegExp(name) }, `${name}=${value}`);
  }
});

t.test('an invalid secret is refused and not shown', async (t) => {
  const files = [
    [secretFile(t, 'short-secret'), /at least 32 bytes/],
    [secretFile(t, ''), /at least 32 bytes/],
    [secretFile(t, secret, 0o640), /readable by other users/],
    [secretFile(t, secret, 0o604), /readable by other users/],
    [secretFile(t, `${secret} ${secret}`), /bearer token/],
    [secretFile(t, `${secret}=${secret}`), /bearer token/],
    [secretFile(t, '='.repeat(40)), /bearer token/],
  ] as const;
  for (const [file, reason] of files) {
    try {
      await load({ WORKER_API_TOKEN_FILE: file });
      t.fail('it was accepted');
    } catch (error) {
      t.ok(error instanceof ConfigError);
      t.match(error, { message: /WORKER_API_TOKEN_FILE/ });
      t.match(error, { message: reason });
      t.notMatch(String(error), /0123456789|short-secret/);
    }
  }
});

t.test('a token may end with padding', async (t) => {
  const padded = `${secret}==`;
  const config = await load({ WORKER_API_TOKEN_FILE: secretFile(t, padded) });
  t.same(config.apiToken, Buffer.from(padded));
});

t.test('the read token must differ from the API token', async (t) => {
  const [file, same, other] = [secretFile(t), secretFile(t), secretFile(t, secret.toUpperCase())];
  const attempt = load({ WORKER_API_TOKEN_FILE: file, WORKER_READ_TOKEN_FILE: same });
  await t.rejects(attempt, { message: /WORKER_READ_TOKEN_FILE/ });
  const config = await load({ WORKER_API_TOKEN_FILE: file, WORKER_READ_TOKEN_FILE: other });
  t.same(config.readToken, Buffer.from(secret.toUpperCase()));
});

t.test('without a token file the worker uses the systemd credential, or --simulate creates a token', async (t) => {
  const directory = t.testdir({ credentials: { 'worker-token': secret } });
  const credentials = join(directory, 'credentials');
  const credential = join(credentials, 'worker-token');
  chmodSync(credential, 0o604);
  const invalid = /^the systemd credential worker-token is readable by other users: use mode 0600/;
  await t.rejects(load({ CREDENTIALS_DIRECTORY: credentials }), { name: 'ConfigError', message: invalid });
  chmodSync(credential, 0o600);
  t.same((await load({ CREDENTIALS_DIRECTORY: credentials })).apiToken, Buffer.from(secret));
  await t.rejects(load({}), { message: /WORKER_API_TOKEN_FILE/ });
  const made = await loadConfig({}, { simulate: true, directory });
  t.equal(statSync(join(directory, '.worker', 'token')).mode & 0o777, 0o600);
  t.equal(readFileSync(join(directory, '.worker', 'token'), 'utf8').trim(), made.apiToken.toString());
  const next = await loadConfig({}, { simulate: true, directory });
  t.same(next.apiToken, made.apiToken, 'the next start uses the same token');
});

t.test('Ed25519 needs its own private key in PKCS#8, which may end in a newline byte', async (t) => {
  const file = secretFile(t);
  const load25519 = (more: NodeJS.ProcessEnv) =>
    load({ WORKER_API_TOKEN_FILE: file, WORKER_SEAL_ALG: 'Ed25519', ...more });
  await t.rejects(load25519({}), { name: 'ConfigError', message: /WORKER_SEAL_KEY_FILE is not set/ });
  await t.rejects(load25519({ WORKER_SEAL_KEY_FILE: file }), {
    name: 'ConfigError',
    message: /not an Ed25519 private key/,
  });
  const der = newPrivateKey('der');
  der[der.length - 1] = 0x0a;
  for (const key of [newPrivateKey('pem'), der]) {
    const path = keyFile(t, key);
    t.match(await load25519({ WORKER_SEAL_KEY_FILE: path }), { sealSecret: key, sealAlgorithm: 'Ed25519' });
    chmodSync(path, 0o640);
    await t.rejects(load25519({ WORKER_SEAL_KEY_FILE: path }), { message: /readable by other users/ });
  }
});

t.test('TLS needs a certificate and its own key', async (t) => {
  const authority = new Authority(t);
  const [one, two] = [authority.issue('one'), authority.issue('two')];
  const file = secretFile(t);
  const loadTls = (cert: string | undefined, key: string | undefined, ca?: string) =>
    load({
      WORKER_API_TOKEN_FILE: file,
      WORKER_TLS_CERT_FILE: cert,
      WORKER_TLS_KEY_FILE: key,
      WORKER_TLS_CLIENT_CA_FILE: ca,
    });
  t.equal((await loadTls(undefined, undefined)).tls, undefined);
  const { certFile, keyFile: key } = one;
  t.same((await loadTls(certFile, key)).tls, { certFile, keyFile: key, clientCaFile: undefined });
  t.ok((await loadTls(certFile, key, authority.certificate.certFile)).tls?.clientCaFile);
  type Files = readonly [string | undefined, string | undefined, string?];
  const wrong: readonly (readonly [Files, RegExp])[] = [
    [[certFile, undefined], /WORKER_TLS_KEY_FILE must be set together/],
    [[undefined, key], /WORKER_TLS_CERT_FILE and .* must be set together/],
    [[undefined, undefined, certFile], /WORKER_TLS_CLIENT_CA_FILE requires both/],
    [[certFile, two.keyFile], /WORKER_TLS_KEY_FILE is not the PEM private key of the certificate/],
    [[certFile, certFile], /WORKER_TLS_KEY_FILE/],
    [[file, key], /WORKER_TLS_CERT_FILE is not a PEM certificate/],
    [[certFile, key, file], /WORKER_TLS_CLIENT_CA_FILE is not a PEM certificate/],
    [[certFile, key, key], /WORKER_TLS_CLIENT_CA_FILE is not a PEM certificate/],
  ];
  for (const [[cert, key, ca], reason] of wrong) {
    await t.rejects(loadTls(cert, key, ca), { name: 'ConfigError', message: reason }, String(reason));
  }
  chmodSync(key, 0o644);
  await t.rejects(loadTls(certFile, key), { message: /WORKER_TLS_KEY_FILE is readable by other users/ });
});
