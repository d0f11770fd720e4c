import { setTimeout as sleep } from 'node:timers/promises';

/** Settings without short deadlines, for a worker whose process may be stopped for minutes. */
export const patient = {
  WORKER_DRIVER_TIMEOUT_SECONDS: '3600',
  WORKER_HEADERS_TIMEOUT_SECONDS: '300',
  WORKER_REQUESTS_PER_SECOND: '1000000',
  WORKER_UPLOAD_IDLE_SECONDS: '3600',
};

/** Whether the worker shed the request, by its answer or the body of it. */
export const wasShed = (answer: string): boolean => answer.includes('"detail":"The worker is overloaded"');

/**
 * Repeats a request until the worker accepts it. A worker whose process was stopped for seconds sheds load for a while,
 * and a shed request changes nothing.
 */
export async function unlessShed<T>(ask: () => Promise<T>, bodyOf: (answer: T) => string): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (!wasShed(bodyOf(answer))) return answer;
    await sleep(100);
  }
}
