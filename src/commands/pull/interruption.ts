import type { InterruptSignal } from '../client/interrupts.js';

/** The time in which a second Ctrl-C keeps the pull running. */
export const graceMs = 2000;

/** What signals have asked for. */
export type Interruption =
  | { readonly kind: 'none' }
  | { readonly kind: 'asked'; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'canceling'; readonly signal: InterruptSignal }
  /** The pull continues, or the worker still cancels it. */
  | { readonly kind: 'left'; readonly canceled: InterruptSignal | undefined };

export interface InterruptionEffects {
  readonly note: (text: string) => void;
  /** Asks the worker to cancel the pull. */
  readonly cancel: () => void;
  /** Ends the command, and not the pull. */
  readonly leave: () => void;
}

/**
 * Ctrl-C cancels the pull after two seconds, in which a second Ctrl-C leaves it running. SIGTERM cancels at once. Another
 * signal during the cancellation ends the command.
 */
export class Interrupter {
  readonly #effects: InterruptionEffects;
  #state: Interruption = { kind: 'none' };

  constructor(effects: InterruptionEffects) {
    this.#effects = effects;
  }

  get state(): Interruption {
    return this.#state;
  }

  receive(signal: InterruptSignal): void {
    const { kind } = this.#state;
    if (kind === 'none' && signal === 'SIGINT') this.#ask();
    else if (kind === 'asked' && signal === 'SIGINT') this.#leave(undefined);
    else if (this.#state.kind === 'canceling') this.#leave(this.#state.signal);
    else if (kind !== 'left') this.#cancel(signal);
  }

  /** The pull has ended. */
  stop(): void {
    if (this.#state.kind === 'asked') clearTimeout(this.#state.timer);
  }

  #ask(): void {
    this.#effects.note('Canceling in 2 seconds. Press Ctrl-C again to leave the pull running.');
    this.#state = { kind: 'asked', timer: setTimeout(() => this.#cancel('SIGINT'), graceMs) };
  }

  #cancel(signal: InterruptSignal): void {
    this.stop();
    this.#state = { kind: 'canceling', signal };
    this.#effects.note('Canceling the pull. Press Ctrl-C again to stop waiting.');
    this.#effects.cancel();
  }

  #leave(canceled: InterruptSignal | undefined): void {
    this.stop();
    this.#state = { kind: 'left', canceled };
    this.#effects.leave();
  }
}
