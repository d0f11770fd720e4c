/** The signals that the worker handles. */
const signalNames = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'] as const;
type SignalName = (typeof signalNames)[number];

/**
 * Receives the signals of `serve` from the first moment on. Without a handler, each would end the process. The effect of
 * a signal that arrives during the startup is deferred until the part that handles it is ready. CommonJS, because
 * `main.cts` needs it before any ES module is loaded.
 */
class Signals {
  readonly #received: Record<SignalName, number> = { SIGTERM: 0, SIGINT: 0, SIGHUP: 0, SIGUSR2: 0 };
  readonly #effects = new Map<SignalName, () => void>();
  /** Resolves with the first SIGTERM or SIGINT. */
  readonly stop: Promise<SignalName>;
  #requestStop: (signal: SignalName) => void = () => undefined;

  constructor() {
    this.stop = new Promise((resolve) => {
      this.#requestStop = resolve;
    });
  }

  /** Handles the signals from now on. */
  install(): void {
    for (const name of signalNames) {
      process.on(name, () => {
        this.#received[name] += 1;
        if (name === 'SIGTERM' || name === 'SIGINT') this.#requestStop(name);
        this.#effects.get(name)?.();
      });
    }
  }

  /** Calls `effect` at each signal, and at once for each that has already arrived. */
  on(name: 'SIGHUP' | 'SIGUSR2', effect: () => void): void {
    this.#effects.set(name, effect);
    for (let n = 0; n < this.#received[name]; n++) effect();
  }

  /** Whether a SIGTERM or SIGINT arrived. */
  get stopRequested(): boolean {
    return this.#received.SIGTERM + this.#received.SIGINT > 0;
  }

  /** Whether a second SIGTERM or SIGINT arrived. */
  get forced(): boolean {
    return this.#received.SIGTERM + this.#received.SIGINT > 1;
  }
}

/** The signals of this process. */
const signals = new Signals();

export = { Signals, signals };
