import { setTimeout as sleep } from 'node:timers/promises';

/** Settings of a worker whose process, client and all, may be stopped for minutes: no deadline of its own is met meanwhile. */
export const patient = {
  WORKER_DRIVER_TIMEOUT_SECONDS: '3600',
  WORKER_HEADERS_TIMEOUT_SECONDS: '300',
  WORKER_REQUESTS_PER_SECOND: '1000000',
  WORKER_UPLOAD_IDLE_SECONDS: '3600',
};

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
