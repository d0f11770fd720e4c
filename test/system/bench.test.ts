import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { unlessInstalled } from '../support/installed.js';
import { root } from '../support/paths.js';
import { temporaryDirectory } from '../support/process.js';

const execute = promisify(execFile);

const needed = unlessInstalled('curl', 'g++', 'make');

t.test(
  'the benchmark measures processes that use shards in place, and memory that outlives its worker',
  needed,
  async (t) => {
    const out = join(temporaryDirectory(t), 'report.json');
    const size = ['--size-bytes', String(16 * 2 ** 20), '--rounds', '1'];
    await execute(process.execPath, [
      join(root, 'bench/bench.mjs'),
      '--quick',
      '--only',
      'attach,readoption',
      ...size,
      '--out',
      out,
    ]);
    const { rows, failed } = JSON.parse(readFileSync(out, 'utf8'));
    t.same(failed, {});
    t.equal(rows.length, 8);
    for (const { path, result } of rows) t.ok(result.value > 0, path);
  },
);
