/**
 * Runs the contestants of each round one after the other, in the opposite order every other round, so that what the machine
 * does meanwhile falls on both. What `prepare` does is not timed.
 * @template T
 * @param {number} rounds
 * @param {(round: number) => T | Promise<T>} prepare what all contestants of a round get
 * @param {Record<string, (prepared: T, round: number) => Promise<number>>} contestants each answers with its sample
 * @returns {Promise<Record<string, number[]>>} one sample a round
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
