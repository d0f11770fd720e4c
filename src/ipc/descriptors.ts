import { closeSync } from 'node:fs';

/** Descriptors that came with a frame. They are closed unless they are taken. */
export class Descriptors {
  #numbers: readonly number[];

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
  }

  get count(): number {
    return this.#numbers.length;
  }

  /** The caller must close them. */
  take(): readonly number[] {
    const numbers = this.#numbers;
    this.#numbers = [];
    return numbers;
  }

  close(): void {
    for (const number of this.take()) closeSync(number);
  }
}
