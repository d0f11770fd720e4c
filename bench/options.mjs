import { parseArgs } from 'node:util';

const mebibyte = 2 ** 20;

const usage = `Usage: npm run bench -- [options]

  --rounds N        rounds per row (default 5; 2 with --quick)
  --size-bytes N    shard size of most rows, a multiple of 1 MiB (default 1 GiB; 64 MiB with --quick)
  --only NAMES      comma-separated paths: upload, file, verify, ready, polling, latency, memory, start, concurrency, small,
                    growth, manifest, manyShards, shardGrowth, attach, readoption, http, sources, oci, s3
  --quick           a short smoke test; its figures are meaningless
  --full            measure growth up to 16 GiB instead of 4 GiB
  --growth-bytes N  measure growth up to this size instead
  --plots           write docs/plots/*.svg
  --out FILE        JSON output (default bench/results/latest.json)
  --help            print this text
`;

/**
 * @typedef {object} Options
 * @property {boolean} quick
 * @property {boolean} full
 * @property {number} rounds
 * @property {number} sizeBytes shard size of most rows
 * @property {number} largeBytes shard size of rows that need a long commit
 * @property {number} growthBytes largest shard size of the growth row
 * @property {number} smallShards
 * @property {number} manifestCommits
 * @property {number} manyShards
 * @property {number} loadSeconds duration of one burst of requests
 * @property {string | undefined} only
 * @property {boolean} plots
 * @property {string} out
 */

/** Parses the command line. An invalid one ends the process with status 64 and the usage. @returns {Options} */
export function readOptions(args = process.argv.slice(2)) {
  const { values } = parse(args);
  if (values.help) {
    process.stdout.write(usage);
    process.exit(0);
  }
  const quick = values.quick ?? false;
  const sizeBytes = integer(values['size-bytes'], quick ? 64 * mebibyte : 1024 * mebibyte);
  if (sizeBytes % mebibyte !== 0) fail('--size-bytes must be a multiple of 1 MiB');
  return {
    quick,
    full: values.full ?? false,
    rounds: integer(values.rounds, quick ? 2 : 5),
    sizeBytes,
    largeBytes: 4 * sizeBytes,
    growthBytes: integer(values['growth-bytes'], (values.full ? 16 : quick ? 0.25 : 4) * 2 ** 30),
    smallShards: quick ? 200 : 1000,
    manifestCommits: quick ? 50 : 400,
    manyShards: quick ? 300 : 10_000,
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
      options: {
        rounds: text,
        'size-bytes': text,
        'growth-bytes': text,
        only: text,
        out: text,
        quick: flag,
        full: flag,
        plots: flag,
        help: flag,
      },
    });
  } catch (error) {
    return fail(error.message);
  }
}

function integer(text, fallback) {
  if (text === undefined) return fallback;
  return /^[1-9][0-9]{0,12}$/.test(text) ? Number(text) : fail(`invalid number ${text}: use a positive integer`);
}

/** @returns {never} */
export function fail(message) {
  process.stderr.write(`${message}\n\n${usage}`);
  process.exit(64);
}
