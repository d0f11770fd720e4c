/** Time between two checks, at most. */
const maxPeriodMs = 1000;

/**
 * Detects a native call that does not return. Its thread cannot be interrupted. Only time in which this process runs
 * counts, so SIGSTOP does not cause a false alarm.
 */
export class HangWatch {
  readonly #timer: NodeJS.Timeout;
  #seen: number | bigint = 0;
  #runningMs = 0;
  #checkedMs = performance.now();

  /**
   * @param oldest returns an id of the oldest running call, 0 if none runs
   * @param timeoutMs a call that runs longer hangs; the check is accurate to an eighth of this
   * @param onHang called once, after which the watch is stopped
   */
  constructor(oldest: () => number | bigint, timeoutMs: number, onHang: () => void) {
    const periodMs = Math.min(timeoutMs / 8, maxPeriodMs);
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      const elapsedMs = Math.min(nowMs - this.#checkedMs, 2 * periodMs);
      this.#checkedMs = nowMs;
      const call = oldest();
      this.#runningMs = call !== 0 && call === this.#seen ? this.#runningMs + elapsedMs : 0;
      this.#seen = call;
      if (this.#runningMs < timeoutMs) return;
      this.stop();
      onHang();
    }, periodMs).unref();
  }

  /** How long the oldest call has been running, as of the last check; 0 if none was running twice. */
  get runningMs(): number {
    return this.#runningMs;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
