/** Whether the tests run in their long form, `npm run test:faults`. */
export const long = process.env.FAULTS === 'long';

/**
 * The number of rounds of a test. `FAULTS=long` selects the long form. `FAULTS_SCALE`, above 0 and at most 1, selects a
 * fraction of the long form.
 */
export function scale(short: number, full: number): number {
  if (!long) return short;
  const part = Number(process.env.FAULTS_SCALE ?? '1');
  if (!(part > 0 && part <= 1)) throw new RangeError('FAULTS_SCALE must be a number above 0 and at most 1');
  return Math.max(1, Math.ceil(full * part));
}

/** The seed in `FAULTS_SEED`, as a failed run printed it. If unset, fast-check chooses one. */
export function seeded(): { readonly seed?: number } {
  const text = process.env.FAULTS_SEED;
  return text === undefined ? {} : { seed: Number(text) };
}
