import { clientStatus } from './status.js';

const statuses = { SIGINT: clientStatus.interrupted, SIGTERM: clientStatus.terminated } as const;
export type InterruptSignal = keyof typeof statuses;

/** The exit status after a signal. */
export const statusAfter = (signal: InterruptSignal): number => statuses[signal];

/** Calls `onSignal` at each SIGINT and SIGTERM, with its number, until the function that it returns is called. */
export function onInterrupts(onSignal: (signal: InterruptSignal, count: number) => void): () => void {
  let count = 0;
  const listeners = (['SIGINT', 'SIGTERM'] as const).map((signal) => {
    const listener = () => {
      count += 1;
      onSignal(signal, count);
    };
    process.on(signal, listener);
    return () => void process.off(signal, listener);
  });
  return () => {
    for (const remove of listeners) remove();
  };
}
