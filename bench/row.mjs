import { median, range } from './statistics.mjs';

/**
 * @typedef {object} Series samples of one thing, one a round
 * @property {string} unit
 * @property {number[]} samples
 *
 * @typedef {object} Row one line of the table
 * @property {string} path what the product does
 * @property {Series} product
 * @property {string} [yardstick] what it is held against
 * @property {Series} [reference] the yardstick's samples of the same rounds
 * @property {string} [missing] why there is no yardstick
 * @property {'higher' | 'lower'} better which way is good
 * @property {number} [mustReach] of the ratio, or of the product's own figure where there is no yardstick
 * @property {number} [aim]
 * @property {string} [note]
 */

/** Bytes and seconds as a rate, 10⁹ bytes a second. @param {number} bytes @param {number[]} seconds @returns {Series} */
export const rate = (bytes, seconds) => ({ unit: 'GB/s', samples: seconds.map((each) => bytes / 1e9 / each) });

/**
 * What the row comes to: the ratio of the medians, with the least and the greatest ratio of one round, or the median.
 * @param {Row} row @returns {{ value: number, minimum: number, maximum: number, ratio: boolean } | undefined}
 */
export function result({ product, reference, missing }) {
  if (missing !== undefined) return undefined;
  if (reference === undefined) return { value: median(product.samples), ...range(product.samples), ratio: false };
  const ratios = product.samples.map((sample, round) => sample / (reference.samples[round] ?? Number.NaN));
  return { value: median(product.samples) / median(reference.samples), ...range(ratios), ratio: true };
}

/** @param {Row} row @returns {'aim' | 'reached' | 'missed' | 'below aim' | 'no target' | 'no yardstick'} */
export function verdict(row) {
  const outcome = result(row);
  if (outcome === undefined) return 'no yardstick';
  const meets = (target) => (row.better === 'higher' ? outcome.value >= target : outcome.value < target);
  if (row.aim !== undefined && meets(row.aim)) return 'aim';
  if (row.mustReach !== undefined) return meets(row.mustReach) ? 'reached' : 'missed';
  return row.aim === undefined ? 'no target' : 'below aim';
}
