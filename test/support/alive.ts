import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
export const collectGarbage: () => void = runInNewContext('gc');

/** How many different objects are still in memory after a garbage collection. */
export function aliveOf(objects: readonly WeakRef<object>[]): number {
  collectGarbage();
  return new Set(objects.flatMap((object) => object.deref() ?? [])).size;
}
