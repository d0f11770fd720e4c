import { median, range } from './statistics.mjs';

/**
 * @typedef {object} Series samples of one quantity, one per round
 * @property {string} unit
 * @property {number[]} samples
 *
 * @typedef {object} Row one line of the table
 * @property {string} path the measured operation of the product
 * @property {Series} product
 * @property {string} [baseline] name of the baseline
 * @property {Series} [baselineSeries] the baseline's samples of the same rounds
 * @property {string} [missing] why the baseline was not measured
 * @property {'higher' | 'lower'} better which direction is better
 * @property {number} [required] limit of the ratio, or of the product's own figure if the row has no baseline
 * @property {number} [target] like `required`, but only desired
 * @property {string} [note]
 */

/** Converts durations to a rate in GB/s (10⁹ bytes). @param {number} bytes @param {number[]} seconds @returns {Series} */
export const rate = (bytes, seconds) => ({ unit: 'GB/s', samples: seconds.map((each) => bytes / 1e9 / each) });

/**
 * The ratio of the medians, with the lowest and highest ratio of one round. Without a baseline, the product's own median.
 * @param {Row} row @returns {{ value: number, minimum: number, maximum: number, ratio: boolean } | undefined}
 */
export function result({ product, baselineSeries, missing }) {
  if (missing !== undefined) return undefined;
  if (baselineSeries === undefined) return { value: median(product.samples), ...range(product.samples), ratio: false };
  const ratios = product.samples.map((sample, round) => sample / (baselineSeries.samples[round] ?? Number.NaN));
  return { value: median(product.samples) / median(baselineSeries.samples), ...range(ratios), ratio: true };
}

/** @param {Row} row @returns {'target met' | 'passed' | 'FAILED' | 'below target' | 'no limit' | 'no baseline'} */
export function verdict(row) {
  const outcome = result(row);
  if (outcome === undefined) return 'no baseline';
  const meets = (limit) => (row.better === 'higher' ? outcome.value >= limit : outcome.value < limit);
  if (row.target !== undefined && meets(row.target)) return 'target met';
  if (row.required !== undefined) return meets(row.required) ? 'passed' : 'FAILED';
  return row.target === undefined ? 'no limit' : 'below target';
}
