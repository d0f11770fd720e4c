import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';
import ts from 'typescript';
import { root } from './support/paths.js';

const src = join(root, 'src');

/**
 * The layers, from the top down. A file imports from its own layer and from those below it. Layers on one line are
 * siblings: they do not import each other. `errors.ts` and `runtime` are below all of them.
 */
const layers: readonly (readonly string[])[] = [
  ['main.cts'],
  ['cli'],
  ['commands'],
  ['process'],
  ['http', 'attach'],
  ['pulls', 'uploads'],
  ['residency'],
  ['keeper'],
  ['ipc'],
  ['audit', 'vram', 'sources'],
  ['storage'],
  ['seal'],
  ['errors.ts', 'runtime'],
];

/** Settings are read at the top and passed down as values. */
const importersOfConfig = ['commands', 'process', 'http', 'config', 'cli'];

/** Inside `residency`: what holds state imports none of the operations. Reports may use operations, never the reverse. */
const operations = [
  ...['commit', 'handle', 'integrity', 'keep', 'lease', 'plan', 'status'],
  ...['start.ts', 'release.ts', 'discard.ts', 'residency.ts'],
];

/** The TypeScript files of a folder, relative to it, each with the modules that it names. */
function graphOf(folder: string): Map<string, string[]> {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => /\.[cm]?ts$/.test(file));
  return new Map(files.map((file) => [file, importsOf(folder, file)]));
}

/** The modules that a file names, type imports and dynamic imports included; own files relative to the folder. */
function importsOf(folder: string, file: string): string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(join(folder, file), 'utf8'), true, true);
  return importedFiles.map(({ fileName }) => {
    if (!fileName.startsWith('.')) return fileName;
    return normalize(join(dirname(file), fileName))
      .replace(/\.js$/, '.ts')
      .replace(/\.cjs$/, '.cts');
  });
}

const graph = graphOf(src);
const files = [...graph.keys()];
const layerOf = (file: string) => layers.findIndex((names) => names.includes(file.split('/')[0] ?? ''));
const ownImports = (file: string) => (graph.get(file) ?? []).filter((name) => graph.has(name));

t.test('every file belongs to a layer, and imports point down', async (t) => {
  t.ok(files.length > 100, 'the tree is there');
  for (const file of files) {
    const [folder = ''] = file.split('/');
    if (folder === 'config') continue;
    const layer = layerOf(file);
    t.not(layer, -1, `${file} belongs to a layer`);
    for (const target of ownImports(file)) {
      const [targetFolder = ''] = target.split('/');
      if (targetFolder === 'config') {
        t.ok(importersOfConfig.includes(folder), `${file} may import ${target}`);
        continue;
      }
      const isBelow = layerOf(target) > layer || targetFolder === folder;
      t.ok(isBelow, `${file} imports ${target}, which is below it`);
    }
  }
});

t.test('config imports only storage, seal, errors and the settings of sources', async (t) => {
  for (const file of files.filter((file) => file.startsWith('config/'))) {
    for (const target of ownImports(file))
      t.match(
        target,
        /^(config\/|storage\/|seal\/|errors\.ts|sources\/settings\/|sources\/egress\/(secret|unique_json)\.ts)/,
        `${file} imports ${target}`,
      );
  }
});

t.test('inside residency, state imports no operation, and no operation imports what reports', async (t) => {
  for (const file of files.filter((file) => file.startsWith('residency/'))) {
    const [, folder = ''] = file.split('/');
    for (const target of ownImports(file).filter((target) => target.startsWith('residency/'))) {
      const [, targetFolder = ''] = target.split('/');
      if (folder === 'state') t.notOk(operations.includes(targetFolder), `${file} imports ${target}`);
      const isReport = targetFolder === 'status' && folder !== 'status' && file !== 'residency/residency.ts';
      t.notOk(isReport, `${file} imports ${target}`);
    }
  }
});

function cyclesOf(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const finished = new Set<string>();
  const cycles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) return void cycles.push([...path.slice(path.indexOf(file)), file].join(' → '));
    if (finished.has(file)) return;
    for (const target of graph.get(file) ?? []) visit(target, [...path, file]);
    finished.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return cycles;
}

t.test('there is no import cycle, types included', async (t) => {
  const client = graphOf(join(root, 'clients', 'node', 'src'));
  t.ok(client.size > 10, 'the client is there');
  t.same(cyclesOf(graph), []);
  t.same(cyclesOf(client), []);
});

/** The files that a file loads, types included. */
function reachedFrom(first: string): Set<string> {
  const reached = new Set<string>();
  const visit = (file: string): void => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const target of ownImports(file)) visit(target);
  };
  visit(first);
  return reached;
}

t.test('the command that verifies audit logs loads no residency code', async (t) => {
  const reached = reachedFrom('commands/audit_verify.ts');
  t.ok(reached.has('audit/verify/verify_log.ts'));
  t.same(
    [...reached].filter((file) => /^(residency|http|process|vram)\//.test(file)),
    [],
  );
});

t.test('the commands that use a running worker load only its HTTP API, by their client', async (t) => {
  for (const name of ['pull', 'push', 'plan', 'ls', 'verify', 'rm', 'wait']) {
    const reached = reachedFrom(`commands/${name}.ts`);
    t.ok(reached.has('commands/client/worker_client.ts'), name);
    const others = [...reached].filter((file) => /^(residency|pulls|uploads|http|attach|vram|audit)\//.test(file));
    t.same(others, [], name);
  }
});

t.test('only vram imports koffi, and only http imports fastify', async (t) => {
  for (const file of files) {
    for (const name of graph.get(file) ?? []) {
      if (name === 'koffi') t.match(file, /^vram\//, file);
      if (/^@?fastify/.test(name)) t.match(file, /^http\//, file);
    }
  }
});

t.test('no source file is longer than 250 lines', async (t) => {
  for (const file of files) {
    const lines = readFileSync(join(src, file), 'utf8').split('\n').length - 1;
    t.ok(lines <= 250, `${file} has ${lines} lines`);
  }
});

t.test('no C or C++ file is longer than 350 lines', async (t) => {
  for (const top of ['cuda', 'clients/c', 'bench/native']) {
    for (const file of readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })) {
      if (file.startsWith('build/') || !/\.(c|cpp|cu|h)$/.test(file)) continue;
      const lines = readFileSync(join(root, top, file), 'utf8').split('\n').length - 1;
      t.ok(lines <= 350, `${top}/${file} has ${lines} lines`);
    }
  }
});

t.test('the README of a folder names exactly the files of the folder', async (t) => {
  const folders = ['src', 'cuda'].flatMap((top) => [
    top,
    ...readdirSync(join(root, top), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isDirectory() && entry.name !== 'build' && !entry.parentPath.includes('build'))
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1)),
  ]);
  for (const folder of folders) {
    const entries = readdirSync(join(root, folder), { withFileTypes: true });
    const names = entries.filter((entry) => entry.isFile() && entry.name !== 'README.md').map(({ name }) => name);
    const readme = join(root, folder, 'README.md');
    if (!existsSync(readme)) {
      t.ok(names.length <= 3, `${folder} has a README, or at most three files`);
      continue;
    }
    t.same(namedIn(readFileSync(readme, 'utf8')), names.sort(), `${folder}/README.md`);
  }
});

/** The files that the tables of a README name: every name in backticks in a first cell below the heading "File". */
function namedIn(readme: string): string[] {
  const tables = readme.split(/\n\n+/).filter((block) => /^\| File/.test(block));
  const cells = tables.flatMap((table) => table.split('\n').map((row) => row.split('|')[1] ?? ''));
  const names = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
  return names.filter((name) => !name.endsWith('/')).sort();
}
