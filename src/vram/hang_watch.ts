/**
 * Watches from outside that no call of the driver lasts too long: a thread that hangs inside it can neither be asked nor
 * ended. Only time in which this process runs counts, so that one that was stopped for a while condemns nothing.
 */
export class HangWatch {
  readonly #timer: NodeJS.Timeout;
  #seen: number | bigint = 0;
  #lastedMs = 0;
  #lookedMs = performance.now();

  /** `oldest` tells apart the calls that have been under way longest, and is 0 for none. */
  constructor(oldest: () => number | bigint, timeoutMs: number, onHang: () => void) {
    const periodMs = timeoutMs / 8;
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      const elapsedMs = Math.min(nowMs - this.#lookedMs, 2 * periodMs);
      this.#lookedMs = nowMs;
      const call = oldest();
      this.#lastedMs = call !== 0 && call === this.#seen ? this.#lastedMs + elapsedMs : 0;
      this.#seen = call;
      if (this.#lastedMs < timeoutMs) return;
      this.stop();
      onHang();
    }, periodMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
