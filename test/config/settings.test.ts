import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { loadConfig, readSetting } from '../../src/config/load.js';
import { settings } from '../../src/config/settings.js';
import { secretFile } from '../support/key_files.js';

const max = Number.MAX_SAFE_INTEGER;

/** The contract: name, default, lowest and highest value. */
const integers: readonly (readonly [string, number, number, number])[] = [
  ['WORKER_AUDIT_MAX_BYTES', 67_108_864, 4096, max],
  ['WORKER_COMMIT_QUEUE', 256, 0, 65_536],
  ['WORKER_COMMIT_SLOTS', 32, 1, 256],
  ['WORKER_DRAIN_SECONDS', 30, 1, 3600],
  ['WORKER_DRIVER_TIMEOUT_SECONDS', 60, 1, 3600],
  ['WORKER_FILE_TIMEOUT_SECONDS', 30, 1, 3600],
  ['WORKER_HEADERS_TIMEOUT_SECONDS', 15, 1, 300],
  ['WORKER_KEEPALIVE_SECONDS', 75, 1, 3600],
  ['WORKER_KEY_GRACE_SECONDS', 3600, 0, 604_800],
  ['WORKER_MAX_MODEL_BYTES', 107_374_182_400, 1, max],
  ['WORKER_REQUESTS_PER_SECOND', 1000, 1, 1_000_000],
  ['WORKER_SCRUB_BYTES_PER_SECOND', 1_073_741_824, 1, max],
  ['WORKER_SCRUB_SECONDS', 3600, 0, 2_000_000],
  ['WORKER_SHUTDOWN_DELAY_SECONDS', 0, 0, 3600],
  ['WORKER_SOURCE_BYTES_PER_SECOND', 0, 0, max],
  ['WORKER_SOURCE_CONNECTIONS', 8, 1, 256],
  ['WORKER_SOURCE_MIN_BYTES_PER_SECOND', 65_536, 0, 1_000_000_000],
  ['WORKER_SOURCE_HEADER_BYTES', 64 * 1024 * 1024, 1024 * 1024, 1024 ** 3],
  ['WORKER_PULL_FILES', 4, 1, 64],
  ['WORKER_PULL_QUEUE', 16, 0, 1024],
  ['WORKER_PULL_DEADLINE_SECONDS', 14_400, 1, 2_000_000],
  ['WORKER_UPLOAD_IDLE_SECONDS', 30, 1, 3600],
  ['WORKER_UPLOAD_MIN_BYTES_PER_SECOND', 65_536, 0, 1_000_000_000],
  ['WORKER_UPLOAD_RESUME_SECONDS', 60, 1, 86_400],
];

/** The contract: name, default, valid values and invalid values. */
const others: readonly (readonly [string, unknown, Readonly<Record<string, unknown>>, readonly string[]])[] = [
  ['WORKER_API_TOKEN_FILE', undefined, { '/a': '/a', a: join(process.cwd(), 'a') }, []],
  ['WORKER_ATTACH_GROUP', undefined, { 0: 0, 1000: 1000, root: 0 }, ['-1', '4294967295', 'no such group', '01']],
  ['WORKER_ATTACH_SOCKET', undefined, { '/a': '/a', a: join(process.cwd(), 'a') }, []],
  ['WORKER_ATTACH_TOKEN_FILE', undefined, { '/a': '/a' }, []],
  ['WORKER_ATTACH_UIDS', undefined, { 0: [0], '1000,0': [1000, 0] }, ['1,1', '-1', '4294967295', 'root']],
  ['WORKER_AUDIT_LOG', undefined, { 'audit.log': 'audit.log' }, []],
  [
    'WORKER_BIND_ADDR',
    { host: '127.0.0.1', port: 8001 },
    {
      '0.0.0.0:0': { host: '0.0.0.0', port: 0 },
      'localhost:65535': { host: 'localhost', port: 65_535 },
      '[::1]:1': { host: '::1', port: 1 },
    },
    ['localhost', 'localhost:', ':8001', 'localhost:65536', '::1:8001', '[::1]', 'localhost:-1'],
  ],
  ['WORKER_CONNECTIONS_PER_ADDRESS', undefined, { 1: 1, 1000000: 1_000_000 }, ['0', '1000001', '1.5', 'half']],
  ['WORKER_CUDA_DRIVER', undefined, { 'libcuda.so.1': 'libcuda.so.1' }, []],
  ['WORKER_CUDA_KERNELS', undefined, { [import.meta.filename]: import.meta.filename }, []],
  ['WORKER_GPU_DEVICES', undefined, { 0: [0], '3,1': [3, 1] }, ['0,0', '-1', '01', 'all', '0,', '10000']],
  ['WORKER_ID', hostname(), { 'gpu-7': 'gpu-7', 'A.b_c:d': 'A.b_c:d' }, ['a b', 'a/b', 'x'.repeat(129)]],
  ['WORKER_KEEPER_SOCKET', undefined, { '/a': '/a', a: join(process.cwd(), 'a') }, []],
  ['WORKER_KEEPER_TOKEN_FILE', undefined, { '/a': '/a' }, []],
  ['WORKER_LOG_LEVEL', 'info', { trace: 'trace', silent: 'silent' }, ['loud', 'INFO']],
  ['WORKER_MANIFEST', undefined, { 'manifest.json': 'manifest.json' }, []],
  ['WORKER_MODEL_DIR', undefined, { '/': '/' }, []],
  ['WORKER_HF_CACHE_DIR', undefined, { '/': '/' }, []],
  ['WORKER_NODE_FEATURES_FILE', undefined, { '/a': '/a' }, []],
  ['WORKER_READY_PUBLIC', false, { on: true, off: false }, ['yes', 'ON', '1']],
  ['WORKER_READ_TOKEN_FILE', undefined, { '/a': '/a' }, []],
  ['WORKER_SEAL_ALG', 'HS256', { HS256: 'HS256', Ed25519: 'Ed25519' }, ['hs256', 'none']],
  ['WORKER_SEAL_KEY_FILE', undefined, { '/a': '/a' }, []],
  ['WORKER_SOURCES_FILE', undefined, { '/a': '/a', a: join(process.cwd(), 'a') }, []],
  ['WORKER_TLS_CERT_FILE', undefined, { '/a': '/a' }, []],
  ['WORKER_TLS_CLIENT_CA_FILE', undefined, { '/a': '/a' }, []],
  ['WORKER_TLS_KEY_FILE', undefined, { '/a': '/a' }, []],
  ['WORKER_VERIFY_AFTER_LEASE', true, { on: true, off: false }, ['yes', '1']],
];

const read = (name: string, text?: string): unknown => {
  const setting = Object.values(settings).find((setting) => setting.name === name);
  if (setting === undefined) throw new Error(`${name} is not in the table`);
  return readSetting(setting, text === undefined ? {} : { [name]: text });
};

t.test('the set of settings is closed: operators depend on each', async (t) => {
  const names = Object.values(settings).map(({ name }) => name);
  t.same(names.sort(), [...integers, ...others].map(([name]) => name).sort());
});

t.test('an integer has a default and a range', async (t) => {
  for (const [name, standard, minimum, maximum] of integers) {
    t.equal(read(name), standard, name);
    for (const value of [minimum, maximum]) t.equal(read(name, String(value)), value, `${name}=${value}`);
    const problem = `${name} must be an integer from ${minimum} to ${maximum}`;
    for (const text of [`${minimum - 1}`, `${maximum + 1}`, '1.5', '1e3', ' 1', '01', '0x10', '+1', 'many']) {
      t.throws(() => read(name, text), { name: 'ConfigError', message: problem }, `${name}=${text}`);
    }
  }
});

t.test('every other setting accepts its valid values only', async (t) => {
  for (const [name, standard, valid, invalid] of others) {
    t.same(read(name), standard, name);
    for (const [text, value] of Object.entries(valid)) t.same(read(name, text), value, `${name}=${text}`);
    for (const text of invalid) {
      t.throws(() => read(name, text), { name: 'ConfigError', message: `${name} must be ` }, `${name}=${text}`);
    }
  }
});

t.test('each error message names the setting and the problem', async (t) => {
  const token = { WORKER_API_TOKEN_FILE: secretFile(t, 'x'.repeat(32)) };
  const cases: readonly (readonly [NodeJS.ProcessEnv, string])[] = [
    [{ WORKER_TYPO: '1' }, 'unknown setting WORKER_TYPO'],
    [{ WORKER_ID: '' }, 'WORKER_ID is empty: set a value or unset it'],
    [{ WORKER_DRAIN_SECONDS: '0' }, 'WORKER_DRAIN_SECONDS must be an integer from 1 to 3600 (seconds)'],
    [{ WORKER_BIND_ADDR: 'here' }, 'WORKER_BIND_ADDR must be host:port'],
    [{ WORKER_SEAL_ALG: 'none' }, 'WORKER_SEAL_ALG must be one of HS256, Ed25519'],
    [{ WORKER_READY_PUBLIC: 'yes' }, 'WORKER_READY_PUBLIC must be on or off'],
    [{ WORKER_MODEL_DIR: '/none' }, 'WORKER_MODEL_DIR must be the path of an existing directory'],
    [{ WORKER_CUDA_KERNELS: '/none' }, 'WORKER_CUDA_KERNELS must be the path of an existing file'],
    [{ WORKER_GPU_DEVICES: 'all' }, 'WORKER_GPU_DEVICES must be a list of distinct device indexes, such as 0,1'],
  ];
  for (const [env, message] of cases) {
    const load = loadConfig({ ...token, ...env }, { simulate: false, directory: '/nowhere' });
    await t.rejects(load, { name: 'ConfigError', message }, message);
  }
});

t.test('a keeper needs its token and a manifest, and its token needs the keeper', async (t) => {
  const file = secretFile(t, 'x'.repeat(32));
  const load = (env: NodeJS.ProcessEnv) =>
    loadConfig({ WORKER_API_TOKEN_FILE: file, ...env }, { simulate: true, directory: '/nowhere' });
  const socket = { WORKER_KEEPER_SOCKET: join(dirname(file), 'keeper.sock') };
  const token = { WORKER_KEEPER_TOKEN_FILE: secretFile(t, 'y'.repeat(32)) };
  const manifest = { WORKER_MANIFEST: join(dirname(file), 'manifest.json') };
  const cases: readonly (readonly [NodeJS.ProcessEnv, RegExp])[] = [
    [token, /^WORKER_KEEPER_TOKEN_FILE has no effect: set WORKER_KEEPER_SOCKET/],
    [{ ...socket, ...manifest }, /^WORKER_KEEPER_TOKEN_FILE is not set/],
    [{ ...socket, ...token }, /^WORKER_MANIFEST is not set/],
  ];
  for (const [env, message] of cases) await t.rejects(load(env), { name: 'ConfigError', message });
  const config = await load({ ...socket, ...token, ...manifest });
  t.equal(config.keeperToken?.toString(), 'y'.repeat(32));
});
