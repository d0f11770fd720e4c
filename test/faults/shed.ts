import { setTimeout as sleep } from 'node:timers/promises';

/**
 * A process that was stopped for seconds sheds what it is asked when it goes on, as it says it does, and has changed
 * nothing. Asks again until it takes the request.
 */
export async function unlessShed<T>(ask: () => Promise<T>, bodyOf: (answer: T) => string): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (!bodyOf(answer).includes('"detail":"The worker is overloaded"')) return answer;
    await sleep(100);
  }
}
