import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { freePort } from '../support/free_port.js';
import { main, root } from '../support/paths.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';

/** Appends the path of each module that the process loads to the file of the variable LOADED. */
const record = `import { appendFileSync } from 'node:fs';
const file = process.env.LOADED;
const record = (path) => path.includes('/') && appendFileSync(file, path.replace('file://', '') + '\\n');`;
const hooks = `${record}
export async function resolve(specifier, context, next) {
  const resolved = await next(specifier, context);
  record(resolved.url);
  return resolved;
}`;
const moduleOf = (source: string): string => `data:text/javascript,${encodeURIComponent(source)}`;
const observer = moduleOf(`${record}
import Module, { register } from 'node:module';
register(${JSON.stringify(moduleOf(hooks))});
const original = Module._resolveFilename;
Module._resolveFilename = (...parameters) => {
  const path = original(...parameters);
  record(path);
  return path;
};`);

/** The files that a process loaded as modules. */
const filesIn = (file: string): string[] => [...new Set(readFileSync(file, 'utf8').trim().split('\n'))];

/** The modules that a process loaded: files of packages, and those in the bundles, which name them in comments. */
const modulesIn = (file: string): string[] =>
  filesIn(file).flatMap((path) =>
    /\/dist\/(bundle\/|main\.cjs$)/.test(path)
      ? (readFileSync(path, 'utf8').match(/(?<=^ *\/\/ ).*\.c?js$/gm) ?? [])
      : path,
  );

function packagesIn(file: string): string[] {
  const names = modulesIn(file).map((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? '');
  return [...new Set(names)].filter((name) => name !== '').sort();
}

/** The exit statuses for an invalid handle and an empty audit log. */
const statuses: Readonly<Record<string, number>> = { handle: 1, audit: 4 };

t.test('commands that need neither a worker nor a GPU load no package', async (t) => {
  const directory = temporaryDirectory(t);
  const [loaded, log] = [join(directory, 'loaded'), join(directory, 'audit.log')];
  const secret = join(directory, 'secret');
  writeFileSync(log, '');
  writeFileSync(secret, 'x'.repeat(40), { mode: 0o600 });
  const commands = [
    ['--version'],
    ['--help'],
    ['audit', 'verify', log],
    ['handle', 'verify', 'a.b.c', '--secret-file', secret, '--worker-id', 'w'],
  ];
  for (const args of commands) {
    writeFileSync(loaded, '');
    const env = { PATH: process.env.PATH, LOADED: loaded };
    const { status, stdout } = spawnSync(process.execPath, ['--import', observer, main, ...args], { env });
    t.equal(status, statuses[args[0] ?? ''] ?? 0, args.join(' '));
    t.ok(stdout.length > 0, 'the command ran');
    t.same(packagesIn(loaded), [], `${args[0]} ${args[1] ?? ''}`);
    if (args[1] !== 'verify') continue;
    t.same(filesIn(loaded).sort(), [main, join(root, 'dist/process/signals.cjs')].sort(), 'no ES module, and no koffi');
  }
});

t.test('the start of a worker loads no code of sources, schemas or the OpenAPI document', async (t) => {
  const directory = temporaryDirectory(t);
  const loaded = join(directory, 'loaded');
  writeFileSync(loaded, '');
  const env = { PATH: process.env.PATH, LOADED: loaded, WORKER_BIND_ADDR: `127.0.0.1:${await freePort()}` };
  const worker = spawn(process.execPath, ['--import', observer, main, 'serve', '--simulate'], { cwd: directory, env });
  t.teardown(() => worker.kill('SIGKILL'));
  let output = '';
  worker.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  await until(() => output.includes('curl'), 'the worker is up');
  const packages = packagesIn(loaded);
  for (const used of ['fastify', 'koffi', 'pino', 'prom-client']) t.ok(packages.includes(used), used);
  const lazy = ['ajv-formats', 'aws4fetch', 'saxes', 'typebox', 'yaml', '@fastify/ajv-compiler', '@fastify/swagger'];
  for (const unused of lazy) t.notOk(packages.includes(unused), unused);
  for (const path of modulesIn(loaded)) t.notMatch(path, /\/ajv\/(?!dist\/runtime\/ucs2length)/);
});
