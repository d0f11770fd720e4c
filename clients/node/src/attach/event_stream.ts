import { type EventEmitter, on } from 'node:events';

export interface EventsOptions {
  /** Ends the iteration with an AbortError. */
  readonly signal?: AbortSignal;
}

/**
 * The events that an emitter emits from the construction on, until it emits `close`. Events wait until they are read.
 * A `for await` loop that ends also ends the stream.
 */
export class EventStream<Event> implements AsyncIterableIterator<Event, undefined> {
  readonly #source: AsyncIterator<readonly Event[], unknown>;
  readonly #accepts: (event: Event) => boolean;

  constructor(
    emitter: EventEmitter<{ event: [Event]; close: [] }>,
    { signal }: EventsOptions,
    accepts: (event: Event) => boolean,
  ) {
    const options = { close: ['close'], ...(signal === undefined ? {} : { signal }) };
    this.#source = on(emitter, 'event', options)[Symbol.asyncIterator]();
    this.#accepts = accepts;
  }

  async next(): Promise<IteratorResult<Event, undefined>> {
    for (;;) {
      const result = await this.#source.next();
      if (result.done) return { done: true, value: undefined };
      const [event] = result.value;
      if (event !== undefined && this.#accepts(event)) return { done: false, value: event };
    }
  }

  async return(): Promise<IteratorResult<Event, undefined>> {
    await this.#source.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
