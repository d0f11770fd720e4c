import { parseArgs } from 'node:util';

const mebibyte = 2 ** 20;

const usage = `Usage: npm run bench -- [options]

  --rounds N        rounds of each row (5; 2 with --quick)
  --size-bytes N    size of the shard of most rows (1 GiB; 64 MiB with --quick), a multiple of 1 MiB
  --only NAMES      some paths: upload, file, verify, ready, latency, memory, start, concurrency, small, growth
  --quick           small and short: to see that all works, not to read figures from
  --full            the growth row goes to 8 GiB, not 4
  --plots           writes docs/plots/*.svg
  --out FILE        where the JSON goes (bench/results/latest.json)
`;

/**
 * @typedef {object} Options
 * @property {boolean} quick
 * @property {number} rounds
 * @property {number} sizeBytes the shard of most rows
 * @property {number} largeBytes the shard of rows that ask for a long commit
 * @property {number} growthBytes the largest shard of the growth row
 * @property {number} smallShards
 * @property {number} loadSeconds how long one burst of requests lasts
 * @property {string | undefined} only
 * @property {boolean} plots
 * @property {string} out
 */

/** Reads the command line; a word that it does not know ends the process with the usage. @returns {Options} */
export function readOptions(args = process.argv.slice(2)) {
  const { values } = parse(args);
  const quick = values.quick ?? false;
  const sizeBytes = integer(values['size-bytes'], quick ? 64 * mebibyte : 1024 * mebibyte);
  if (sizeBytes % mebibyte !== 0) fail('--size-bytes is not a multiple of 1 MiB');
  return {
    quick,
    rounds: integer(values.rounds, quick ? 2 : 5),
    sizeBytes,
    largeBytes: 4 * sizeBytes,
    growthBytes: (values.full ? 8 : quick ? 0.25 : 4) * 2 ** 30,
    smallShards: quick ? 200 : 1000,
    loadSeconds: quick ? 0.5 : 3,
    only: values.only,
    plots: values.plots ?? false,
    out: values.out ?? new URL('results/latest.json', import.meta.url).pathname,
  };
}

function parse(args) {
  try {
    const text = { type: 'string' };
    const flag = { type: 'boolean' };
    return parseArgs({
      args,
      options: { rounds: text, 'size-bytes': text, only: text, out: text, quick: flag, full: flag, plots: flag },
    });
  } catch (error) {
    return fail(error.message);
  }
}

function integer(text, fallback) {
  if (text === undefined) return fallback;
  return /^[1-9][0-9]{0,12}$/.test(text) ? Number(text) : fail(`${text} is no positive integer`);
}

/** @returns {never} */
export function fail(message) {
  process.stderr.write(`${message}\n\n${usage}`);
  process.exit(64);
}
