/** How long a task may block the event loop. */
const sliceMs = 4;

const waiting: ((endMs: number) => void)[] = [];

/**
 * Shares the event loop among tasks that visit thousands of shards: each turn of the loop grants one slice, in the order of
 * the calls. Resolves with the end of the slice on the monotonic clock. The task then calls this again.
 */
export function nextSlice(): Promise<number> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) setImmediate(grant);
  });
}

function grant(): void {
  waiting.shift()?.(performance.now() + sliceMs);
  if (waiting.length > 0) setImmediate(grant);
}
