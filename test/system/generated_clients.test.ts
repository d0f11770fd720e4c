import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { patternBytes } from '../support/bytes.js';
import { tests } from '../support/paths.js';
import { startProcess, temporaryDirectory } from '../support/process.js';
import { sha256 } from '../support/requests.js';

const run = promisify(execFile);
const timeout = 100_000;

/** The generators, and the byte of which each client uploads 5000. Each folder has its own packages. */
const clients = { 'openapi-typescript': 7, orval: 8 };

for (const [tool, byte] of Object.entries(clients)) {
  const folder = join(tests, tool);
  const skip = existsSync(join(folder, 'node_modules')) ? {} : { skip: `run npm ci in test/${tool}` };

  t.test(`the client that ${tool} generates plans, commits, polls and releases`, { ...skip, timeout }, async (t) => {
    const directory = temporaryDirectory(t);
    mkdirSync(join(directory, 'models'));
    writeFileSync(join(directory, 'models/model.bin'), patternBytes(5000));
    const { url, authorization } = await startProcess(t, directory, { WORKER_MODEL_DIR: 'models' });
    const env = { PATH: process.env.PATH, URL: url, TOKEN: authorization.replace('Bearer ', '') };
    const { stdout } = await run('npm', ['run', '--silent', 'start'], { cwd: folder, env });
    t.match(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''), {
      feasible: true,
      uploaded: sha256(Buffer.alloc(5000, byte)),
      committed: 'sealed',
      ready: true,
      attested: true,
      listed: 1,
      valid: true,
      verified: true,
      released: 204,
      missing: 404,
    });
  });
}
