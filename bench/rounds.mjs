/**
 * Runs the contestants of each round in turn, and reverses the order every other round. Background load of the machine then
 * affects all of them alike. `prepare` is not timed.
 * @template T
 * @param {number} rounds
 * @param {(round: number) => T | Promise<T>} prepare makes the argument of all contestants of a round
 * @param {Record<string, (prepared: T, round: number) => Promise<number>>} contestants each returns one sample
 * @returns {Promise<Record<string, number[]>>} one sample per round
 */
export async function alternate(rounds, prepare, contestants) {
  const names = Object.keys(contestants);
  const samples = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const prepared = await prepare(round);
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      samples[name].push(await contestants[name](prepared, round));
    }
  }
  return samples;
}
