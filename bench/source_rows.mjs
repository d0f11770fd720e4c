import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freshContent } from './content.mjs';
import { busyShareDuring } from './cpu_time.mjs';
import { hashRate } from './native.mjs';
import { timeProcess } from './processes.mjs';
import { alternate } from './rounds.mjs';
import { rate } from './row.mjs';
import { median } from './statistics.mjs';
import { Worker } from './worker.mjs';

const mebibyte = 2 ** 20;
export const curl = ['-sS', '--noproxy', '*'];

/** @param {string} url @param {readonly string[]} options @returns {Promise<number>} seconds of a download to /dev/null */
export const download = async (url, options = []) =>
  (await timeProcess('curl', [...curl, ...options, '-o', '/dev/null', '-f', url])).seconds;

/** Says why a row is missing. @param {string} row @param {string} why @returns {[]} no rows */
export const skip = (row, why) => {
  process.stdout.write(`  skipped: ${row}: ${why}\n`);
  return [];
};

/** A worker that may read these sources. */
export function startWorker(workspace, list) {
  const file = join(workspace.directory, `sources-${list.map(({ name }) => name).join('-')}.json`);
  writeFileSync(file, JSON.stringify({ sources: list }), { mode: 0o600 });
  return Worker.start(workspace, { WORKER_SOURCES_FILE: file });
}

/**
 * Commits fresh bytes of a source. The baseline reads the same bytes. With a flat digest, `limit` has the rate in GB/s at
 * which one core makes both digests in the same rounds. `busyShares` has the part of the time of all cores that was
 * used during each commit, also by other programs.
 */
export async function compare({ options, workspace }, worker, { source, flat = true, baseline, fresh }) {
  const make = fresh ?? (() => freshContent(workspace.models, 'model', options.sizeBytes));
  const busyShares = [];
  const product = async (content) => {
    const { result, busyShare } = await busyShareDuring(() => worker.source('source', content, source, flat));
    busyShares.push(busyShare);
    await worker.release('source');
    return result;
  };
  await product(await make()); // warm-up
  busyShares.length = 0;
  const limit = async () => (await hashRate()).both_gb_per_s;
  const samples = await alternate(options.rounds, make, { product, baseline, ...(flat && { limit }) });
  return { ...samples, busyShares };
}

export const rowOf = (options, path, samples, baseline, target) => ({
  better: 'higher',
  path,
  product: rate(options.sizeBytes, samples.product),
  baseline,
  baselineSeries: rate(options.sizeBytes, samples.baseline),
  target,
});

/** The share of the limit that a commit with a flat digest reached, because that digest is serial. */
export function limitNote({ sizeBytes }, { product, limit, busyShares }) {
  const limitRate = median(limit);
  const share = median(rate(sizeBytes, product).samples) / limitRate;
  const busyPercent = (median(busyShares) * 100).toFixed(0);
  return {
    note:
      `${share.toFixed(2)} of the limit: one core makes both digests at ${limitRate.toFixed(2)} GB/s; ` +
      `all cores were ${busyPercent} % busy`,
  };
}

/** A source whose connections get 32 MiB a second: many of them add up. Baseline: one connection. */
export async function slowly({ options, workspace }, worker, { name, source, urlOf, fresh }) {
  const limited = { ...options, sizeBytes: Math.min(options.sizeBytes, 256 * mebibyte), rounds: 2 };
  const make = () => (fresh ?? ((bytes) => freshContent(workspace.models, 'model', bytes)))(limited.sizeBytes);
  const baseline = async (content) => download(await urlOf(content));
  const samples = await compare({ options: limited, workspace }, worker, {
    source,
    flat: false,
    baseline,
    fresh: make,
  });
  return rowOf(limited, `commit by ${name}, 32 MiB/s a connection, flat_digest=false`, samples, 'curl -o /dev/null', 5);
}
