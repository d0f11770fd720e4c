import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import t from 'tap';
import ts from 'typescript';
import { root as repository } from './support/paths.js';

const root = join(repository, 'src');

/** From the top down. A file imports from its own floor and from those below it; `errors.ts` lies under all. */
const floors: readonly (readonly string[])[] = [['http'], ['residency'], ['seal', 'vram']];

/** `vram` may name digests and handles; `seal` is pure and knows nothing of devices. */
const sideways = new Set(['vram → seal']);

const floorOf = (file: string) => floors.findIndex((names) => names.includes(file.split('/')[0] ?? ''));

function importsOf(file: string): string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(join(root, file), 'utf8'), true, true);
  return importedFiles.map((entry) => entry.fileName);
}

const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => /\.[cm]?ts$/.test(file));

t.test('imports point down only', async (t) => {
  t.ok(files.length > 20, 'the tree is there');
  for (const file of files) {
    const floor = floorOf(file);
    if (floor === -1) continue;
    for (const name of importsOf(file).filter((name) => name.startsWith('.'))) {
      const target = normalize(join(dirname(file), name)).replace(/\.js$/, '.ts');
      const below = floorOf(target);
      if (below === -1) {
        t.ok(
          ['errors.ts', 'config/settings.ts'].includes(target),
          `${file} imports ${target}, which lies under all floors`,
        );
        if (target === 'config/settings.ts') t.equal(floor, 0, `${file}: settings are read at the top`);
        continue;
      }
      t.ok(below >= floor, `${file} imports ${target}`);
      const [from, to] = [file.split('/')[0], target.split('/')[0]];
      if (below === floor && from !== to) t.ok(sideways.has(`${from} → ${to}`), `${file} stays on its side: ${target}`);
    }
  }
});

t.test('only vram imports koffi, and only http imports fastify', async (t) => {
  for (const file of files) {
    for (const name of importsOf(file)) {
      if (name === 'koffi') t.match(file, /^vram\//, file);
      if (/fastify/.test(name)) t.match(file, /^(http\/|app\.ts$)/, file);
    }
  }
});

t.test('no source file is longer than 250 lines', async (t) => {
  for (const file of files) {
    const lines = readFileSync(join(root, file), 'utf8').split('\n').length - 1;
    t.ok(lines <= 250, `${relative('.', file)} has ${lines} lines`);
  }
});
