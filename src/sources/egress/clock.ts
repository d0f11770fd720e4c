/** The clock of transfers. Tests replace it. */
export interface Clock {
  /** Milliseconds that never go back. */
  monotonicMs(): number;
  /** Milliseconds since 1970, for the dates of HTTP. */
  epochMs(): number;
  /** Runs `action` once after `ms`. The returned function cancels it. */
  after(ms: number, action: () => void): () => void;
}

/** A longer delay makes `setTimeout` fire at once. */
const maxDelayMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  epochMs: () => Date.now(),
  after: (ms, action) => {
    const timer = setTimeout(action, Math.min(ms, maxDelayMs));
    return () => clearTimeout(timer);
  },
};

/** Resolves after `ms`. @throws the reason of the signal, if it aborts first */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const onAbort = () => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.after(ms, () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
