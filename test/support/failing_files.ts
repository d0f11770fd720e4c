import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import type { Test } from 'tap';

const byPath = ['accessSync', 'openSync', 'statSync', 'statfsSync', 'renameSync'] as const;
const byDescriptor = ['fstatSync', 'readSync', 'writeSync', 'fsyncSync', 'fdatasyncSync', 'ftruncateSync'] as const;

/** Makes file system calls of this process below one directory fail. */
export class FailingFiles {
  #calls = 0;
  #fails: (call: number) => boolean = () => false;
  readonly #descriptors = new Set<unknown>();

  /** Counts calls until the test ends. Does not see files that are already open. */
  static below(t: Test, directory: string): FailingFiles {
    const files = new FailingFiles();
    const isOurs = (path: unknown) => String(path).startsWith(directory);
    for (const name of byPath) {
      const call = (path: unknown, run: () => unknown) => {
        if (isOurs(path)) files.#count(name);
        const result = run();
        if (name !== 'openSync') return result;
        if (isOurs(path)) files.#descriptors.add(result);
        else files.#descriptors.delete(result);
        return result;
      };
      files.#replace(t, name, call);
    }
    for (const name of byDescriptor) {
      files.#replace(t, name, (descriptor, run) => {
        if (files.#descriptors.has(descriptor)) files.#count(name);
        return run();
      });
    }
    return files;
  }

  /** The number of calls since the last call of this method. */
  calls(): number {
    const calls = this.#calls;
    this.#calls = 0;
    return calls;
  }

  /** Makes the nth call from now fail, and with `andAllAfter` every later one. */
  fail(nth: number, andAllAfter: boolean): void {
    this.#calls = 0;
    this.#fails = (call) => (andAllAfter ? call >= nth : call === nth);
  }

  heal(): void {
    this.#fails = () => false;
  }

  #count(name: string): void {
    this.#calls++;
    if (this.#fails(this.#calls)) throw Object.assign(new Error(`EIO: ${name} failed`), { code: 'EIO' });
  }

  #replace(
    t: Test,
    name: (typeof byPath)[number] | (typeof byDescriptor)[number],
    call: (first: unknown, run: () => unknown) => unknown,
  ): void {
    const original: unknown = fs[name];
    if (typeof original !== 'function') throw new Error(`there is no ${name}`);
    const value = (...args: unknown[]) => call(args[0], () => original(...args));
    Object.defineProperty(fs, name, { value, configurable: true, writable: true });
    syncBuiltinESMExports();
    t.teardown(() => {
      Object.defineProperty(fs, name, { value: original, configurable: true, writable: true });
      syncBuiltinESMExports();
    });
  }
}
