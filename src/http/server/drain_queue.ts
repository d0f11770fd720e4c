import type { BodyDrain } from './body_drain.js';

/** Bodies that are drained at the same time. */
const maxActive = 32;

/** Bodies of one network that are drained while other networks wait. */
const fairShare = 4;

/** Bodies that wait. Beyond it, connections close at once. */
const maxWaiting = 64;

/** The rate of all drains together, so that they leave the event loop to other requests. */
const bytesPerSecond = 128 * 1024 * 1024;
const sliceMs = 20;
const sliceBytes = (bytesPerSecond * sliceMs) / 1000;

/** Drains the bodies of refused requests, a few at a time. */
export class DrainQueue {
  /** In the order in which they started. */
  readonly #active = new Set<BodyDrain>();
  readonly #waiting = new Set<BodyDrain>();
  #timer: NodeJS.Timeout | undefined;

  /** Resolves when the body is drained, or its turn or time is over. */
  async drain(drain: BodyDrain): Promise<void> {
    if (this.#active.size < maxActive) this.#start(drain);
    else if (this.#waiting.size < maxWaiting) this.#wait(drain);
    else drain.stop();
    await drain.done;
    this.#active.delete(drain);
    this.#waiting.delete(drain);
    this.#startNext();
  }

  #start(drain: BodyDrain): void {
    this.#active.add(drain);
    this.#timer ??= setInterval(() => this.#allow(), sliceMs);
    drain.start();
    drain.allow(sliceBytes / this.#active.size);
  }

  #wait(drain: BodyDrain): void {
    this.#waiting.add(drain);
    const counts = this.#countByNetwork();
    if ((counts.get(drain.network) ?? 0) >= fairShare) return;
    const oldest = [...this.#active].find(({ network }) => (counts.get(network) ?? 0) > fairShare);
    oldest?.stop();
  }

  /** Prefers a network below its fair share. */
  #startNext(): void {
    const counts = this.#countByNetwork();
    while (this.#active.size < maxActive) {
      const waiting = [...this.#waiting];
      const next = waiting.find(({ network }) => (counts.get(network) ?? 0) < fairShare) ?? waiting[0];
      if (next === undefined) break;
      this.#waiting.delete(next);
      counts.set(next.network, (counts.get(next.network) ?? 0) + 1);
      this.#start(next);
    }
    if (this.#active.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #allow(): void {
    for (const drain of this.#active) drain.allow(sliceBytes / this.#active.size);
  }

  #countByNetwork(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { network } of this.#active) counts.set(network, (counts.get(network) ?? 0) + 1);
    return counts;
  }
}
