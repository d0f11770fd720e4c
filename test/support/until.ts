import { setTimeout as sleep } from 'node:timers/promises';

const intervalMs = 5;

/**
 * Resolves when a condition holds. Rejects with `message` if it has not held after `timeoutMs` of waiting.
 * It counts waits instead of reading a clock, because some tests replace the clocks or stop the process.
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  message = 'the condition never held',
  timeoutMs = 100_000,
): Promise<void> {
  for (let waitedMs = 0; !(await condition()); waitedMs += intervalMs) {
    if (waitedMs >= timeoutMs) throw new Error(`${message} within ${timeoutMs} ms`);
    await sleep(intervalMs);
  }
}
