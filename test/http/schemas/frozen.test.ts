import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { root } from '../../support/paths.js';

t.test('the built schemas are plain JSON, so that a start does not load TypeBox', async (t) => {
  const built = join(root, 'build/src/http/schemas');
  const modules = readdirSync(built).filter((name) => name.endsWith('.js'));
  t.ok(modules.includes('index.js'));
  const importers = modules.filter((name) => /from "typebox"/.test(readFileSync(join(built, name), 'utf8')));
  t.same(importers, ['make.js'], 'only the functions that build schemas, which a running worker does not import');
});
