import { setTimeout as sleep } from 'node:timers/promises';

const minIntervalMs = 5;
const maxIntervalMs = 50;

/**
 * Resolves when a condition holds. Rejects with `message` if it has not held after `timeoutMs` of waiting.
 * It counts waits instead of reading a clock, because some tests replace the clocks or stop the process.
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  message = 'the condition never held',
  timeoutMs = 100_000,
): Promise<void> {
  for (let waitedMs = 0; !(await condition()); ) {
    if (waitedMs >= timeoutMs) throw new Error(`${message} within ${timeoutMs} ms`);
    // Conditions cost time of the CPU, so a long wait has fewer of them.
    const intervalMs = Math.min(Math.max(minIntervalMs, waitedMs / 10), maxIntervalMs);
    await sleep(intervalMs);
    waitedMs += intervalMs;
  }
}
