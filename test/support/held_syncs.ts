import fs, { readlinkSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import type { Test } from 'tap';

type Done = (error: Error | null) => void;

/** Counts the calls of fdatasync(2), or of fsync(2), in this process until the test ends, and can hold them back. */
export class HeldSyncs {
  count = 0;
  #isHeld = (_path: string): boolean => false;
  #waiting: (() => void)[] = [];

  static take(t: Test, name: 'fdatasync' | 'fsync' = 'fdatasync'): HeldSyncs {
    const syncs = new HeldSyncs();
    const original = fs[name];
    const sync = (descriptor: number, done: Done) => {
      syncs.count++;
      const run = () => original(descriptor, done);
      if (syncs.#isHeld(readlinkSync(`/proc/self/fd/${descriptor}`))) syncs.#waiting.push(run);
      else run();
    };
    replace(name, Object.assign(sync, original));
    t.teardown(() => {
      syncs.letGo();
      replace(name, original);
    });
    return syncs;
  }

  /** The number of calls that are held back. */
  get held(): number {
    return this.#waiting.length;
  }

  /** From now on, no call returns; if `path` is given, no call for that file. */
  hold(path?: string): void {
    this.#isHeld = (file) => path === undefined || file === path;
  }

  /** The held calls return, and later ones are not held. */
  letGo(): void {
    this.#isHeld = () => false;
    for (const run of this.#waiting.splice(0)) run();
  }
}

function replace(name: string, value: unknown): void {
  Object.defineProperty(fs, name, { value, configurable: true, writable: true });
  syncBuiltinESMExports();
}
