// npm run test:mutants [-- FILE[:LINE]…]: changes what decides, one place at a time, and says which changes no test notices.
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { equivalents } from './equivalent.mjs';
import { apply, mutantsOf } from './mutate.mjs';
import { targets } from './targets.mjs';

const root = resolve(import.meta.dirname, '../..');
const workshop = join(root, '.mutants');
const hands = Number(process.env.MUTANT_JOBS ?? 2);
/** A mutant that hangs is noticed too: one that works for ever sooner than one that waits, which may have been stopped. */
const patienceMs = 300_000;
const patienceCpuSeconds = 60;

const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
const { options } = ts.parseJsonConfigFileContent({ ...config, files: [] }, ts.sys, root);
const scriptOf = (file) => file.replace(/\.ts$/, '.js');

/** Sources and tests as JavaScript, once for each hand; what is no TypeScript is found by links. */
function prepare() {
  rmSync(workshop, { recursive: true, force: true });
  const first = join(workshop, '0');
  const emit = ['--noEmit', 'false', '--sourceMap', 'false', '--outDir', first];
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...emit], {
    cwd: root,
    stdio: 'inherit',
  });
  for (let hand = 1; hand < hands; hand++) cpSync(first, join(workshop, String(hand)), { recursive: true });
  for (let hand = 0; hand < hands; hand++) {
    for (const name of ['cuda', 'dist', 'openapi', 'test/vectors', 'package.json']) {
      const link = join(workshop, String(hand), name);
      if (!existsSync(link)) symlinkSync(join(root, name), link);
    }
  }
}

/** Whether a test fails, or never ends. */
function fails(directory, test) {
  return new Promise((done) => {
    const env = { ...process.env, TAP_BAIL: '1' };
    const limited = [
      '-c',
      `ulimit -t ${patienceCpuSeconds}; exec "$0" "$1"`,
      process.execPath,
      join(directory, scriptOf(test)),
    ];
    const child = spawn('sh', limited, { cwd: directory, env, stdio: 'ignore' });
    const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
    child.once('exit', (status) => {
      clearTimeout(timer);
      done(status !== 0);
    });
  });
}

/** The test that noticed, or undefined. */
async function killer(directory, { file, ...mutant }) {
  const source = readFileSync(join(root, file), 'utf8');
  const script = join(directory, scriptOf(file));
  const original = readFileSync(script);
  writeFileSync(script, apply(source, mutant, options));
  try {
    for (const test of targets[file]) if (await fails(directory, test)) return test;
    return undefined;
  } finally {
    writeFileSync(script, original);
  }
}

const lineOf = ({ file, line }) => readFileSync(join(root, file), 'utf8').split('\n')[line - 1];
const excuseOf = (mutant) =>
  equivalents.find(
    ({ file, line, from, to }) =>
      file === mutant.file && lineOf(mutant).includes(line) && mutant.from === from && mutant.to === to,
  );

const places = process.argv.slice(2).map((place) => place.split(':'));
const isAsked = ({ file, line }) =>
  places.length === 0 || places.some(([name, at]) => name === file && (at === undefined || Number(at) === line));
const files = places.length > 0 ? [...new Set(places.map(([name]) => name))] : Object.keys(targets);
const every = files.flatMap((file) => mutantsOf(file, readFileSync(join(root, file), 'utf8')));
const stale = equivalents.filter((one) => files.includes(one.file) && !every.some((each) => excuseOf(each) === one));
if (stale.length > 0) throw new Error(`no mutant is excused by: ${JSON.stringify(stale)}`);
const all = every.filter(isAsked);
const mutants = all.filter((mutant) => excuseOf(mutant) === undefined);

prepare();
// Without a change every test passes: else all that follows would say nothing.
for (const file of files) {
  const noticed = await killer(join(workshop, '0'), { file, start: 0, end: 0, to: '' });
  if (noticed !== undefined) throw new Error(`${noticed} fails without any mutant of ${file}`);
}

const survivors = [];
const queue = [...mutants];
await Promise.all(
  Array.from({ length: hands }, async (_, hand) => {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      if ((await killer(join(workshop, String(hand)), mutant)) !== undefined) continue;
      survivors.push(mutant);
      console.log(
        `survives: ${mutant.file}:${mutant.line} ${JSON.stringify(mutant.from)} → ${JSON.stringify(mutant.to)}`,
      );
    }
  }),
);
rmSync(workshop, { recursive: true, force: true });

for (const file of files) {
  const made = mutants.filter((mutant) => mutant.file === file).length;
  const killed = made - survivors.filter((mutant) => mutant.file === file).length;
  console.log(`${file}: ${killed} of ${made}`);
}
const killed = mutants.length - survivors.length;
const share = killed / mutants.length;
const comparisons = survivors.filter(({ comparison }) => comparison).length;
console.log(
  `figure: mutants killed ${killed} of ${mutants.length} (${(share * 100).toFixed(1)} %), ` +
    `survivors in comparisons ${comparisons}, equivalent by argument ${all.length - mutants.length}`,
);
process.exitCode = share >= 0.85 && comparisons === 0 ? 0 : 1;
