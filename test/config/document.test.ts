import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { configurationDocument } from '../../src/config/document.js';
import { settings } from '../../src/config/settings.js';
import { settingsHelp } from '../../src/config/settings_help.js';
import { sourcesSchema } from '../../src/config/sources_document.js';
import { root } from '../support/paths.js';

t.test('docs/configuration.md equals the generated document', async (t) => {
  t.equal(readFileSync(join(root, 'docs/configuration.md'), 'utf8'), configurationDocument(), 'else: npm run docs');
});

t.test('docs/sources.schema.json equals the schema that the worker checks', async (t) => {
  t.equal(readFileSync(join(root, 'docs/sources.schema.json'), 'utf8'), sourcesSchema(), 'else: npm run docs');
});

t.test('docs/configuration.md and --help describe every setting once', async (t) => {
  const [document, help] = [configurationDocument(), settingsHelp()];
  for (const { name, type, doc } of Object.values(settings)) {
    t.equal(document.split(`**\`${name}\`**`).length, 2, name);
    t.equal(help.split(`  ${name} `).length, 2, name);
    t.ok(document.includes(doc) && document.includes(`Value: ${type.description};`), name);
  }
  t.notMatch(help, /`|\]\(/, 'a terminal does not show Markdown');
});

t.test('the document links to files that exist', async (t) => {
  const links = [...configurationDocument().matchAll(/\]\(([^#)]+)/g)].map(([, path = '']) => path);
  t.ok(links.length > 0);
  for (const path of links) t.ok(existsSync(join(root, 'docs', path)), path);
});
