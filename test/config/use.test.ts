import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import ts from 'typescript';
import { type Config, loadConfig } from '../../src/config/load.js';
import { settings } from '../../src/config/settings.js';
import { secretFile } from '../support/key_files.js';
import { root } from '../support/paths.js';

type Key = keyof typeof settings;

/** The settings that `Config` holds under other names. */
const renamed: Readonly<Partial<Record<Key, readonly string[]>>> = {
  bindAddress: ['bindHost', 'bindPort'],
  tlsCertFile: ['certFile'],
  tlsKeyFile: ['keyFile'],
  tlsClientCaFile: ['clientCaFile'],
};

/** A value of each setting that is not its default. Those of files are in other tests. */
const values: Readonly<Partial<Record<Key, readonly [text: string, value: unknown]>>> = {
  workerId: ['gpu-7', 'gpu-7'],
  readyPublic: ['on', true],
  gpuDevices: ['1,3', [1, 3]],
  modelDir: ['/', '/'],
  hfCacheDir: ['/', '/'],
  attachSocket: ['/nowhere/attach.sock', '/nowhere/attach.sock'],
  attachUids: ['1000', [1000]],
  keeperSocket: ['/nowhere/keeper.sock', '/nowhere/keeper.sock'],
  verifyAfterLease: ['off', false],
  cudaDriver: ['libcuda.so', 'libcuda.so'],
  cudaKernels: [import.meta.filename, import.meta.filename],
  manifest: ['manifest.json', 'manifest.json'],
  nodeFeaturesFile: ['/nowhere/features', '/nowhere/features'],
  auditLog: ['audit.jsonl', 'audit.jsonl'],
  logLevel: ['warn', 'warn'],
};
const files: readonly Key[] = [
  'apiTokenFile',
  'readTokenFile',
  'sealKeyFile',
  'sealAlgorithm',
  'attachTokenFile',
  'keeperTokenFile',
  'sourcesFile',
];

/** The names of properties that the code outside the table and the loader reads. */
function namesRead(): ReadonlySet<string> {
  const names = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAccessExpression(node)) names.add(node.name.text);
    if (ts.isBindingElement(node)) names.add((node.propertyName ?? node.name).getText());
    ts.forEachChild(node, visit);
  };
  const src = join(root, 'src');
  const unrelated = /^config\/(?:load|settings|(?:network|attach|keeper|source)_settings)\.ts$/;
  for (const file of readdirSync(src, { recursive: true, encoding: 'utf8' })) {
    if (!/\.c?ts$/.test(file) || unrelated.test(file)) continue;
    visit(ts.createSourceFile(file, readFileSync(join(src, file), 'utf8'), ts.ScriptTarget.Latest, true));
  }
  return names;
}

t.test('the code reads each setting', async (t) => {
  const read = namesRead();
  for (const [key, { name }] of Object.entries(settings)) {
    for (const property of renamed[key as Key] ?? [key]) t.ok(read.has(property), `${name}: ${property}`);
  }
});

t.test('the configuration holds the value of each setting', async (t) => {
  const environment: NodeJS.ProcessEnv = {
    WORKER_API_TOKEN_FILE: secretFile(t, 'x'.repeat(32)),
    WORKER_KEEPER_TOKEN_FILE: secretFile(t, 'y'.repeat(32)),
  };
  const expected: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings)) {
    if (renamed[key as Key] !== undefined || files.includes(key as Key)) continue;
    const standard: unknown = 'default' in setting ? setting.default : undefined;
    const [text, value] = values[key as Key] ?? [`${Number(standard ?? 0) + 1}`, Number(standard ?? 0) + 1];
    environment[setting.name] = text;
    expected[key] = value;
  }
  const config: Config = await loadConfig(environment, { simulate: false, directory: '/nowhere' });
  for (const [key, value] of Object.entries(expected)) t.strictSame(config[key as keyof Config], value, key);
});
