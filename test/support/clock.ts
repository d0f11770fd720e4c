import type { Test } from 'tap';

const second = 1000;
export const hour = 3600 * second;
export const day = 24 * hour;

/** Controls both clocks of this process. The wall clock jumps by `step`, and the monotonic clock advances only by `pass`. */
export class Clocks {
  #stepMs = 0;
  /** An integer, so that sums of whole milliseconds are exact. */
  #nowMs = Math.ceil(performance.now());

  /** Replaces the clocks until the test ends. Timers still use the kernel's clock. */
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

  /** Sets the wall clock forward, or back if `ms` is negative. */
  step(ms: number): void {
    this.#stepMs += ms;
  }

  /** Advances the monotonic clock. */
  pass(ms: number): void {
    this.#nowMs += ms;
  }
}
