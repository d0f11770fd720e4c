/**
 * Takes a chunk, whose bytes are valid until it returns or its promise settles. Returns whether it wants no more. After a
 * promise, the next chunk waits for it.
 */
export type Take = (chunk: Buffer) => boolean | Promise<boolean>;

/** What a diversion does to its connection. */
export interface DivertedConnection {
  /** The next chunk may arrive. */
  resume(): void;
  /** The offered chunk is still in use: the connection must not overwrite it. */
  keepChunk(): void;
}

/** The chunks of a connection on their way to one taker, each once and in order. */
export class Diversion {
  /** Resolves when the taker wants no more, or the connection ended. @throws the error of the taker or the connection */
  readonly ended: Promise<void>;
  readonly #take: Take;
  readonly #connection: DivertedConnection;
  /** Chunks that arrived after the connection was paused: those of one read of Node. */
  readonly #queue: Buffer[] = [];
  #isTaking = false;
  /** How the connection ended. The chunks before that still go to the taker. */
  #end: { readonly error: Error | null } | undefined;
  #isOver = false;
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  constructor(take: Take, connection: DivertedConnection) {
    this.#take = take;
    this.#connection = connection;
    this.ended = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Returns whether the next chunk may arrive at once. Else `resume` follows. */
  offer(chunk: Buffer): boolean {
    if (this.#isOver) return false;
    if (this.#isTaking) {
      this.#queue.push(Buffer.from(chunk));
      return false;
    }
    const mayContinue = this.#give(chunk);
    if (this.#isTaking) this.#connection.keepChunk();
    return mayContinue;
  }

  /** No chunk follows. Idempotent: the first reason counts. */
  end(error: Error | null): void {
    this.#end ??= { error };
    if (!this.#isTaking) this.#finish();
  }

  #give(chunk: Buffer): boolean {
    try {
      const isDone = this.#take(chunk);
      if (typeof isDone === 'boolean') return this.#taken(isDone);
      this.#isTaking = true;
      isDone.then(
        (each) => this.#afterWait(each),
        (error) => this.#fail(error),
      );
    } catch (error) {
      this.#fail(error);
    }
    return false;
  }

  #taken(isDone: boolean): boolean {
    if (!isDone) return true;
    this.#isOver = true;
    this.#resolve();
    return false;
  }

  #afterWait(isDone: boolean): void {
    this.#isTaking = false;
    if (!this.#taken(isDone)) return;
    for (let chunk = this.#queue.shift(); chunk !== undefined; chunk = this.#queue.shift()) {
      if (!this.#give(chunk)) return;
    }
    if (this.#end === undefined) this.#connection.resume();
    else this.#finish();
  }

  #finish(): void {
    this.#isOver = true;
    if (this.#end?.error) this.#reject(this.#end.error);
    else this.#resolve();
  }

  #fail(error: unknown): void {
    this.#isTaking = false;
    this.#isOver = true;
    this.#reject(error);
  }
}
