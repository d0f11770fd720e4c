// Writes openapi.json from the built code; with --check it only says whether the file is fresh.
// Run `npm run build` before.
import { readFileSync, writeFileSync } from 'node:fs';
import { pino } from 'pino';
import { buildApp } from '../dist/http/app.js';

const file = new URL('openapi.json', import.meta.url);

// Routes only register here; nothing asks the sealing service for anything, so that an empty one will do.
const app = await buildApp({
  residency: {},
  config: { requestsPerSecond: 1, headersTimeoutSeconds: 1, readyPublic: false, apiToken: Buffer.alloc(32) },
  logger: pino({ level: 'silent' }),
});
const document = `${JSON.stringify(app.swagger(), null, 2)}\n`;
await app.close();

if (!process.argv.includes('--check')) {
  writeFileSync(file, document);
} else if (readFileSync(file, 'utf8') !== document) {
  process.stderr.write('openapi/openapi.json is not what the code serves: run `node openapi/generate.mjs`\n');
  process.exitCode = 1;
}
