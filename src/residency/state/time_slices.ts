/** How long the tasks may block each turn of the event loop, all together. */
const sliceMs = 4;

const waiting: ((endMs: number) => void)[] = [];
let isScheduled = false;

/**
 * Shares the event loop among tasks that visit thousands of shards. In each turn of the loop the tasks run one after another,
 * in the order of the calls, until the slice of this turn ends. Resolves with that end on the monotonic clock. A task that
 * reaches it calls this again.
 */
export function nextSlice(): Promise<number> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    schedule();
  });
}

function schedule(): void {
  if (isScheduled || waiting.length === 0) return;
  isScheduled = true;
  setImmediate(() => run(performance.now() + sliceMs));
}

/** Lets one task run, and the next one if time is left. */
function run(endMs: number): void {
  waiting.shift()?.(endMs);
  const next = () => {
    if (waiting.length > 0 && performance.now() < endMs) return run(endMs);
    isScheduled = false;
    schedule();
  };
  // The task runs in the microtasks, which end before the tick.
  queueMicrotask(() => process.nextTick(next));
}
