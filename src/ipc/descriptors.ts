import { closeSync } from 'node:fs';

/** Descriptors that came with a frame, or that were taken over from one. Their owner closes them. */
export class Descriptors {
  #numbers: readonly number[];

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
  }

  get numbers(): readonly number[] {
    return this.#numbers;
  }

  get count(): number {
    return this.#numbers.length;
  }

  /** Moves the descriptors to a new object, so that `close` of this one does not close them. */
  moved(): Descriptors {
    const numbers = this.#numbers;
    this.#numbers = [];
    return new Descriptors(numbers);
  }

  close(): void {
    const numbers = this.#numbers;
    this.#numbers = [];
    for (const number of numbers) closeSync(number);
  }
}
