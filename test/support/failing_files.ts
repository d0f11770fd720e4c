import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import type { Test } from 'tap';

const byPath = ['accessSync', 'openSync', 'statSync', 'statfsSync', 'renameSync'] as const;
const byDescriptor = ['fstatSync', 'readSync', 'writeSync', 'fsyncSync', 'fdatasyncSync', 'ftruncateSync'] as const;
const callbacksByPath = ['access', 'open', 'stat', 'statfs', 'rename', 'realpath'] as const;
const callbacksByDescriptor = ['fstat', 'read', 'write', 'fsync', 'fdatasync', 'ftruncate'] as const;

type Name =
  | (typeof byPath)[number]
  | (typeof byDescriptor)[number]
  | (typeof callbacksByPath)[number]
  | (typeof callbacksByDescriptor)[number];

type Done = (error: unknown, value?: unknown) => void;

/** Makes file system calls of this process below one directory fail. */
export class FailingFiles {
  #calls = 0;
  #fails: (call: number) => boolean = () => false;
  #watch: (call: number) => void = () => undefined;
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
    for (const name of callbacksByPath) files.#replaceCallback(t, name, isOurs);
    for (const name of callbacksByDescriptor) files.#replaceCallback(t, name, (fd) => files.#descriptors.has(fd));
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

  /** Runs `work` just before the nth call from now. */
  before(nth: number, work: () => void): void {
    this.#calls = 0;
    this.#watch = (call) => void (call === nth && work());
  }

  heal(): void {
    this.#fails = () => false;
  }

  #count(name: string): void {
    this.#calls++;
    this.#watch(this.#calls);
    if (this.#fails(this.#calls)) throw Object.assign(new Error(`EIO: ${name} failed`), { code: 'EIO' });
  }

  /** A call with a callback. */
  #replaceCallback(
    t: Test,
    name: (typeof callbacksByPath | typeof callbacksByDescriptor)[number],
    isOurs: (first: unknown) => boolean,
  ): void {
    this.#patch(t, name, (original) => (...args: unknown[]) => {
      const done = args.at(-1) as Done;
      if (!isOurs(args[0])) return original(...args.slice(0, -1), this.#tracked(name, false, done));
      try {
        this.#count(name);
      } catch (error) {
        return setImmediate(done, error);
      }
      return original(...args.slice(0, -1), this.#tracked(name, true, done));
    });
  }

  /** Remembers which descriptors belong to the directory. */
  #tracked(name: Name, isOurs: boolean, done: Done): Done {
    if (name !== 'open') return done;
    return (error, descriptor) => {
      if (isOurs) this.#descriptors.add(descriptor);
      else this.#descriptors.delete(descriptor);
      done(error, descriptor);
    };
  }

  #replace(t: Test, name: Name, call: (first: unknown, run: () => unknown) => unknown): void {
    this.#patch(
      t,
      name,
      (original) =>
        (...args: unknown[]) =>
          call(args[0], () => original(...args)),
    );
  }

  #patch(
    t: Test,
    name: Name,
    wrap: (original: (...args: unknown[]) => unknown) => (...args: unknown[]) => unknown,
  ): void {
    const original: unknown = fs[name];
    if (typeof original !== 'function') throw new Error(`there is no ${name}`);
    const value = Object.assign(
      wrap((...args) => original(...args)),
      original,
    );
    Object.defineProperty(fs, name, { value, configurable: true, writable: true });
    syncBuiltinESMExports();
    t.teardown(() => {
      Object.defineProperty(fs, name, { value: original, configurable: true, writable: true });
      syncBuiltinESMExports();
    });
  }
}
