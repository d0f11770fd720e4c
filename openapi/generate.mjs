// Writes openapi.json from the built code. With --check it only reports whether the file is current.
// Run `npm run build` first.
import { readFileSync, writeFileSync } from 'node:fs';
import { pino } from 'pino';
import { buildApp } from '../dist/http/app.js';

const file = new URL('openapi.json', import.meta.url);

// The plugins only register an observer of the service, and call it on requests.
const app = await buildApp({
  residency: { observe: () => undefined },
  config: { requestsPerSecond: 1, headersTimeoutSeconds: 1, readyPublic: false, apiToken: Buffer.alloc(32) },
  logger: pino({ level: 'silent' }),
});
const document = `${JSON.stringify(app.swagger(), null, 2)}\n`;
await app.close();

if (!process.argv.includes('--check')) {
  writeFileSync(file, document);
} else if (readFileSync(file, 'utf8') !== document) {
  process.stderr.write('openapi/openapi.json is out of date: run `node openapi/generate.mjs`\n');
  process.exitCode = 1;
}
