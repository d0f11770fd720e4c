import fs, { constants, readFileSync, readlinkSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import type { Test } from 'tap';

type Done = (error: Error | null, result?: unknown) => void;
type Call = (descriptor: number, ...more: unknown[]) => void;

/**
 * Counts the synced writes of this process until the test ends: those to files opened with `O_DSYNC`, or the calls of fsync(2).
 * Can hold back their results.
 */
export class HeldSyncs {
  count = 0;
  #isHeld = (_path: string): boolean => false;
  #waiting: (() => void)[] = [];

  static take(t: Test, name: 'write' | 'fsync' = 'write'): HeldSyncs {
    const syncs = new HeldSyncs();
    const original: unknown = fs[name];
    const sync: Call = (descriptor, ...more) => {
      const done = more.pop() as Done;
      const call = (then: Done) => (original as Call)(descriptor, ...more, then);
      if (name === 'write' && !syncsWrites(descriptor)) return call(done);
      syncs.count++;
      if (!syncs.#isHeld(readlinkSync(`/proc/self/fd/${descriptor}`))) return call(done);
      // The bytes are in the file before the disk has them.
      if (name === 'write') call((...result) => syncs.#hold(() => done(...result)));
      else syncs.#hold(() => call(done));
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

  #hold(run: () => void): void {
    this.#waiting.push(run);
  }
}

/** See proc(5): the flags of open(2), in octal. */
function syncsWrites(descriptor: number): boolean {
  const [, flags = '0'] = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')) ?? [];
  return (Number.parseInt(flags, 8) & constants.O_DSYNC) !== 0;
}

function replace(name: string, value: unknown): void {
  Object.defineProperty(fs, name, { value, configurable: true, writable: true });
  syncBuiltinESMExports();
}
