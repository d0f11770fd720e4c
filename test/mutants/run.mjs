// npm run test:mutants [-- --list] [-- --limit=N] [-- FILE[:LINE]…]: runs mutation tests and prints the survivors.
// MUTANT_JOBS sets the number of parallel jobs (default 2). With --list it only counts the mutants.
// With --limit it runs N mutants, spread evenly over the files.
import { parseArgs } from 'node:util';
import { cleanUp, findKiller, prepare } from './runner.mjs';
import { select } from './selection.mjs';

const requiredShare = 0.85;

const options = { list: { type: 'boolean' }, limit: { type: 'string' } };
const { values, positionals } = parseArgs({ options, allowPositionals: true });
const { files, mutants: all, equivalentCount } = select(positionals);
const limit = Math.min(all.length, Number(values.limit ?? all.length));
const mutants = Array.from({ length: limit }, (_, index) => all[Math.floor((index * all.length) / limit)]);
const countOf = (list, file) => list.filter((mutant) => mutant.file === file).length;

if (values.list) {
  for (const file of files) console.log(`${file}: ${countOf(mutants, file)}`);
} else {
  const survivors = await run();
  report(survivors);
}

async function run() {
  const directories = prepare(Number(process.env.MUTANT_JOBS ?? 2));
  for (const file of files) {
    // A test that fails without a mutant would kill every mutant.
    const failing = await findKiller(directories[0], { file, start: 0, end: 0, to: '' });
    if (failing !== undefined) throw new Error(`${failing} fails without a mutant of ${file}`);
  }
  const survivors = [];
  const queue = [...mutants];
  const work = async (directory) => {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      if ((await findKiller(directory, mutant)) !== undefined) continue;
      survivors.push(mutant);
      const { file, line, from, to } = mutant;
      console.log(`survives: ${file}:${line} ${JSON.stringify(from)} → ${JSON.stringify(to)}`);
    }
  };
  await Promise.all(directories.map(work));
  cleanUp();
  return survivors;
}

function report(survivors) {
  for (const file of files) {
    const total = countOf(mutants, file);
    console.log(`${file}: ${total - countOf(survivors, file)} of ${total}`);
  }
  const killed = mutants.length - survivors.length;
  const share = killed / mutants.length;
  const comparisons = survivors.filter(({ comparison }) => comparison).length;
  console.log(
    `figure: mutants killed ${killed} of ${mutants.length} (${(share * 100).toFixed(1)} %), ` +
      `survivors in comparisons ${comparisons}, equivalents ${equivalentCount}`,
  );
  process.exitCode = share >= requiredShare && comparisons === 0 ? 0 : 1;
}
