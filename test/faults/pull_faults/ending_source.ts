import type { Test } from 'tap';
import { type FileRequest, headOf, modelOfSizes, type Source, startSource } from '../../support/pull_source.js';

const sizes = [700_000, 5000, 1_300_000];
const files = modelOfSizes(sizes);

/** The files that become shards. */
export const paths = [...files.keys()].slice(0, sizes.length);
export const lengths = paths.map((path) => files.get(path)?.length ?? 0);

/** How far a file has come when its pull ends, and why the pull ends then. */
export interface End {
  readonly path: string;
  readonly step: (typeof steps)[number];
  readonly cause: (typeof causes)[number];
}

const steps = ['inspected', 'begun', 'half received', 'received'] as const;
const causes = ['cancel', 'failure of the source'] as const;

/** Each step of each file with each cause. */
export const ends: readonly End[] = paths.flatMap((path) =>
  steps.flatMap((step) => causes.map((cause) => ({ path, step, cause }))),
);

/** A source of three files that stops or fails at one step of one file. */
export class EndingSource {
  readonly source: Source;
  #end: End | undefined;
  /** Requests for the file since `stopAt`. The first one reads the header. */
  #requests = 0;
  #reached: () => void = () => undefined;

  private constructor(source: Source) {
    this.source = source;
  }

  static async start(t: Test): Promise<EndingSource> {
    let answer = (_: FileRequest): boolean => false;
    const ending = new EndingSource(await startSource(t, files, { answer: (request) => answer(request) }));
    answer = (request) => ending.#answer(request);
    return ending;
  }

  /** Sets the step for the next pull. Resolves when the pull has reached it. */
  stopAt(end: End): Promise<void> {
    this.#end = end;
    this.#requests = 0;
    return new Promise((resolve) => {
      this.#reached = resolve;
    });
  }

  /** The next pulls come to no step. */
  serveAll(): void {
    this.#end = undefined;
  }

  #answer(request: FileRequest): boolean {
    const end = this.#end;
    if (end === undefined || request.name !== end.path) return false;
    const number = ++this.#requests;
    if ((number === 1) !== (end.step === 'inspected')) return false;
    if (end.cause === 'cancel') this.#stop(request, end.step);
    else this.#fail(request, end.step);
    return true;
  }

  #stop({ response, bytes, start, end }: FileRequest, step: End['step']): void {
    if (step === 'inspected' || step === 'begun') this.#reached();
    else {
      const stopAt = step === 'received' ? end : start + Math.floor((end - start) / 2);
      response.writeHead(206, headOf(bytes, start, end));
      response.write(bytes.subarray(start, stopAt), () => this.#reached());
    }
  }

  #fail({ response, bytes, start, end }: FileRequest, step: End['step']): void {
    this.#reached();
    if (step === 'received') {
      const wrong = Buffer.from(bytes.subarray(start, end));
      wrong[wrong.length - 1] = 0x55;
      response.writeHead(206, headOf(bytes, start, end)).end(wrong);
    } else if (step === 'half received' && this.#requests === 2) {
      response.writeHead(206, headOf(bytes, start, end));
      response.write(bytes.subarray(start, Math.floor((start + end) / 2)), () => response.destroy());
    } else response.writeHead(410).end();
  }
}
