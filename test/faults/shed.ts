import { setTimeout as sleep } from 'node:timers/promises';

/** Whether an answer, or the body of one, says that the worker shed it. */
export const wasShed = (answer: string): boolean => answer.includes('"detail":"The worker is overloaded"');

/**
 * A process that was stopped for seconds sheds what it is asked when it goes on, as it says it does, and has changed
 * nothing. Asks again until it takes the request.
 */
export async function unlessShed<T>(ask: () => Promise<T>, bodyOf: (answer: T) => string): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (!wasShed(bodyOf(answer))) return answer;
    await sleep(100);
  }
}
