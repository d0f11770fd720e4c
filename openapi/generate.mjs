// Writes openapi.json from the built code. With --check it only reports whether the file is current.
// Run `npm run build` first.
import { readFileSync, writeFileSync } from 'node:fs';
import { buildApp } from '../dist/http/app.js';
import { openapiGenerator } from '../dist/http/openapi/generator.js';
import { withoutWorker } from './validators.mjs';

const file = new URL('openapi.json', import.meta.url);

const app = await buildApp({ ...withoutWorker, generator: openapiGenerator });
const document = `${JSON.stringify(app.swagger(), null, 2)}\n`;
await app.close();

if (!process.argv.includes('--check')) {
  writeFileSync(file, document);
} else if (readFileSync(file, 'utf8') !== document) {
  process.stderr.write('openapi/openapi.json is out of date: run `node openapi/generate.mjs`\n');
  process.exitCode = 1;
}
