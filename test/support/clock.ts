import type { Test } from 'tap';

const second = 1000;
export const hour = 3600 * second;
export const day = 24 * hour;

/** Both clocks of this process in a test's hands: the wall's steps, the monotonic one stands still until it is moved. */
export class Clocks {
  #stepMs = 0;
  /** Whole, so that sums of whole milliseconds are exact. */
  #nowMs = Math.ceil(performance.now());

  /** Takes the clocks until the test ends. Timers are Node's own and go on by the kernel's clock. */
  static take(t: Test): Clocks {
    const clocks = new Clocks();
    const RealDate = globalThis.Date;
    const wallMs = () => RealDate.now() + clocks.#stepMs;
    class SteppedDate extends RealDate {
      constructor(...given: unknown[]) {
        super(...((given.length === 0 ? [wallMs()] : given) as [number]));
      }
      static override now(): number {
        return wallMs();
      }
    }
    globalThis.Date = SteppedDate as DateConstructor;
    Object.defineProperty(performance, 'now', { value: () => clocks.#nowMs, configurable: true });
    t.teardown(() => {
      globalThis.Date = RealDate;
      Reflect.deleteProperty(performance, 'now');
    });
    return clocks;
  }

  /** Somebody sets the wall clock. */
  step(ms: number): void {
    this.#stepMs += ms;
  }

  /** So much time passes, by the clock that never steps. */
  pass(ms: number): void {
    this.#nowMs += ms;
  }
}
