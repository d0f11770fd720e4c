// node test/mutants/changed.mjs COMMIT: prints the files that have mutants and differ from COMMIT.
import { execFileSync } from 'node:child_process';
import { targets } from './targets.mjs';

const [commit = 'HEAD'] = process.argv.slice(2);
const changed = execFileSync('git', ['diff', '--name-only', '--diff-filter=d', commit, '--', 'src'], {
  encoding: 'utf8',
});
for (const file of changed.split('\n')) if (file in targets) console.log(file);
