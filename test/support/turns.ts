import type { Test } from 'tap';

/** Counts the turns of the event loop until the test ends. */
export function countTurns(t: Pick<Test, 'teardown'>): () => number {
  let [turns, isEnded] = [0, false];
  const count = () => {
    turns++;
    if (!isEnded) setImmediate(count);
  };
  setImmediate(count);
  t.teardown(() => {
    isEnded = true;
  });
  return () => turns;
}
