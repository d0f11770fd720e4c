/** Whether the numbers of `npm run test:faults` are asked for, rather than the few seconds of `npm test`. */
export const long = process.env.FAULTS === 'long';

/**
 * How many times a test does what it does. `FAULTS=long` takes the long form, anything else the short one; `FAULTS_SCALE`
 * (above 0, at most 1) takes that part of the long form, where a machine has no time for all of it.
 */
export function scale(short: number, full: number): number {
  if (!long) return short;
  const part = Number(process.env.FAULTS_SCALE ?? '1');
  if (!(part > 0 && part <= 1)) throw new RangeError('FAULTS_SCALE is a number above 0 and at most 1');
  return Math.max(1, Math.ceil(full * part));
}
