import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Rejects if work takes too long. It does not end the work.
 * @template T @param {number} seconds @param {string} what @param {Promise<T>} work @returns {Promise<T>}
 */
export function within(seconds, what, work) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} did not end within ${seconds} s`)), seconds * 1000);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/**
 * Waits until a condition holds, for five minutes at most.
 * @param {string} what @param {() => boolean | Promise<boolean>} condition @param {number} intervalMs
 */
export async function until(what, condition, intervalMs = 50) {
  for (const deadline = performance.now() + 300_000; !(await condition()); await sleep(intervalMs)) {
    if (performance.now() > deadline) throw new Error(`${what} did not happen within 300 s`);
  }
}
