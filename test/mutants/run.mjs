// npm run test:mutants [-- --list] [-- --limit=N] [-- --minutes=N] [-- --seed=N] [-- FILE[:LINE]…]: runs mutation tests and
// prints the survivors. MUTANT_JOBS sets the number of parallel jobs (default 2). With --list it only counts the mutants.
// With --limit it runs N mutants, and with --minutes it starts mutants for that time. Both take a random sample of `--seed`.
import { parseArgs } from 'node:util';
import { cleanUp, fails, findKiller, prepare } from './runner.mjs';
import { sample, select } from './selection.mjs';
import { targets } from './targets.mjs';

const requiredShare = 0.85;

const { values, positionals } = parseArgs({
  options: {
    list: { type: 'boolean' },
    limit: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string', default: '1' },
  },
  allowPositionals: true,
});
const { files, mutants: all, equivalentCount } = select(positionals);
const isSample = values.limit !== undefined || values.minutes !== undefined;
const mutants = isSample ? sample(all, values.seed, Number(values.limit ?? all.length)) : all;
const countOf = (list, file) => list.filter((mutant) => mutant.file === file).length;

if (values.list) {
  for (const file of files) console.log(`${file}: ${countOf(mutants, file)}`);
} else {
  await run();
}

async function run() {
  const directories = prepare(Number(process.env.MUTANT_JOBS ?? 2));
  try {
    await runUnchanged(directories);
    report(await runMutants(directories));
  } finally {
    cleanUp();
  }
}

/** A test that fails without a mutant would kill every mutant. */
async function runUnchanged(directories) {
  const queue = [...new Set(files.flatMap((file) => targets[file]))];
  await inParallel(directories, queue, async (directory, test) => {
    if (await fails(directory, test)) throw new Error(`${test} fails without a mutant`);
  });
}

/** Resolves with the mutants that ran, each with whether it survived. */
async function runMutants(directories) {
  const endsAtMs = performance.now() + Number(values.minutes ?? Number.POSITIVE_INFINITY) * 60_000;
  const ran = [];
  await inParallel(directories, [...mutants], async (directory, mutant) => {
    if (performance.now() > endsAtMs) return;
    const survived = (await findKiller(directory, mutant)) === undefined;
    ran.push({ ...mutant, survived });
    const { file, line, from, to } = mutant;
    if (survived) console.log(`survives: ${file}:${line} ${JSON.stringify(from)} → ${JSON.stringify(to)}`);
  });
  return ran;
}

/** Each directory takes the next item of the queue. */
async function inParallel(directories, queue, handle) {
  const work = async (directory) => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await handle(directory, item);
  };
  await Promise.all(directories.map(work));
}

function report(ran) {
  const survivors = ran.filter(({ survived }) => survived);
  for (const file of files) {
    const total = countOf(ran, file);
    console.log(`${file}: ${total - countOf(survivors, file)} of ${total}`);
  }
  if (isSample) console.log(`sample: ${ran.length} of ${all.length} mutants, seed ${values.seed}`);
  const killed = ran.length - survivors.length;
  const share = ran.length === 0 ? 1 : killed / ran.length;
  const comparisons = survivors.filter(({ comparison }) => comparison).length;
  console.log(
    `figure: mutants killed ${killed} of ${ran.length} (${(share * 100).toFixed(1)} %), ` +
      `survivors in comparisons ${comparisons}, equivalents ${equivalentCount}`,
  );
  process.exitCode = share >= requiredShare && comparisons === 0 ? 0 : 1;
}
