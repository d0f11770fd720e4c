import { constants } from 'node:os';
import koffi from 'koffi';

const exit = koffi.load(null).func('void _exit(int status)');

/**
 * Ends the process immediately by _exit(2), after its exit handlers. `process.exit` would join libuv's pool threads,
 * and wait forever for one that hangs in the driver (measured with Node 20).
 */
export function exitNow(status: number): never {
  process.exitCode = status;
  process.emit('exit', status);
  exit(status);
  throw new Error('_exit returned');
}

/**
 * Ends the process at a deadline by a thread of libvram, even if the event loop is blocked. No exit handler runs then.
 * A failure to start the thread is ignored: the timers of the event loop remain.
 */
export class ExitDeadline {
  readonly #after: (milliseconds: number, status: number) => number;
  readonly #afterSignal: (signal: number, milliseconds: number, status: number) => number;

  /** @throws Error if the library cannot be loaded */
  constructor(libraryPath: string) {
    const library = koffi.load(libraryPath);
    this.#after = library.func('int32_t vram_exit_after(uint64_t milliseconds, int32_t status)');
    this.#afterSignal = library.func(
      'int32_t vram_exit_after_signal(int32_t signal, uint64_t milliseconds, int32_t status)',
    );
  }

  /** Exits after a time. The earliest deadline holds, with the latest status. */
  after(milliseconds: number, status: number): void {
    this.#after(Math.ceil(milliseconds), status);
  }

  /** Exits a time after SIGTERM or SIGINT. Call it when the handlers of the signals are installed. */
  afterStopSignal(milliseconds: number, status: number): void {
    for (const signal of [constants.signals.SIGTERM, constants.signals.SIGINT]) {
      this.#afterSignal(signal, Math.ceil(milliseconds), status);
    }
  }
}
