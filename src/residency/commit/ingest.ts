import { WorkerError } from '../../errors.js';
import type { Load, LoadResult } from '../../vram/load.js';
import type { Slot, Staging } from '../../vram/staging.js';
import type { CommitSlot } from '../state/commit_queue.js';
import type { CommitResult } from './request.js';
import { StagingWriter } from './staging_writer.js';

/** Staging slots that one commit uses: some are filled while others are on their way. */
export const slotsPerCommit = 4;

/** What an intake's bytes are for: a new shard, or the comparison with one that is here. */
export interface IngestTarget {
  readonly totalBytes: number;
  open(): Promise<Load>;
  progress(receivedBytes: number): void;
  /** Takes effect in its last step, and throws the signal's reason where that comes first. */
  complete(received: LoadResult, signal: AbortSignal): Promise<CommitResult>;
  /** Undoes everything, for this reason; never rejects. */
  undo(error: unknown): Promise<void>;
  /** Told once how it ended. */
  ended(error: unknown): void;
}

/**
 * One commit's way in: admitted already, waiting for its slot, then taking bytes. Whatever goes wrong, by an error or by
 * `abort`, everything it took is given back before the promise settles.
 */
export class Ingest {
  readonly #turn: CommitSlot;
  readonly #staging: Staging;
  readonly #purpose: IngestTarget;
  #slots: readonly Slot[] = [];
  #load: Load | undefined;
  #pump: StagingWriter | undefined;
  #opening: Promise<void> | undefined;
  #finishing: Promise<CommitResult> | undefined;
  #ending: Promise<void> | undefined;
  readonly #ended = new AbortController();

  constructor(turn: CommitSlot, staging: Staging, purpose: IngestTarget) {
    this.#turn = turn;
    this.#staging = staging;
    this.#purpose = purpose;
  }

  /** Aborts, with the reason, as soon as something has ended the intake. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** Resolves when a commit slot is ours and the memory is taken. Nothing of the body need be read before. */
  start(): Promise<void> {
    return this.#guard(() => {
      this.#opening ??= this.#open();
      return this.#opening;
    });
  }

  /** Takes the next bytes; wait for the promise, if one is returned, before the next call. */
  write(chunk: Uint8Array): Promise<void> | undefined {
    return this.#running().write(chunk);
  }

  /** Takes the next bytes from a connected socket, natively, while they keep coming; how many came. As `write`. */
  receive(descriptor: number): Promise<number> {
    return this.#running().receive(descriptor);
  }

  /** Takes all bytes from an open file. */
  file(descriptor: number): Promise<void> {
    return this.#guard(async () => {
      await this.#running().file(descriptor);
      this.signal.throwIfAborted();
    });
  }

  /** All bytes were written: proves and seals the shard, or throws with everything undone. */
  finish(): Promise<CommitResult> {
    this.#finishing ??= this.#guard(async () => {
      const received = await this.#running().finish();
      await this.#load?.close();
      const result = await this.#purpose.complete(received, this.signal);
      this.#settle(undefined);
      return result;
    });
    return this.#finishing;
  }

  /** Gives everything back, up to the moment in which `finish` takes effect. */
  async abort(reason: unknown = new WorkerError('INTERNAL', 'the commit was given up')): Promise<void> {
    if (this.#finishing !== undefined) {
      this.#ended.abort(reason);
      await this.#finishing.catch(() => undefined);
      return;
    }
    await this.#undo(reason);
  }

  /** Gives everything back unless all bytes have come: then the shard's fate is decided by them. */
  async stop(reason: unknown): Promise<void> {
    await (this.#finishing?.catch(() => undefined) ?? this.#undo(reason));
  }

  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      this.signal.throwIfAborted();
      return await work();
    } catch (error) {
      await this.#undo(error);
      throw error;
    }
  }

  async #open(): Promise<void> {
    await this.#turn.ready();
    this.#slots = this.#staging.take(slotsPerCommit);
    this.#load = await this.#purpose.open();
    this.#pump = new StagingWriter(this.#load, this.#slots, this.#purpose.totalBytes, (bytes) =>
      this.#purpose.progress(bytes),
    );
  }

  #undo(error: unknown): Promise<void> {
    this.#ending ??= (async () => {
      this.#ended.abort(error);
      this.#turn.cancel(error);
      await this.#opening?.catch(() => undefined);
      await this.#pump?.close().catch(() => undefined);
      await this.#purpose.undo(error);
      this.#settle(error);
    })();
    return this.#ending;
  }

  #settle(error: unknown): void {
    this.#ending ??= Promise.resolve();
    this.#staging.give(this.#slots);
    this.#slots = [];
    this.#turn.release();
    this.#purpose.ended(error);
  }

  #running(): StagingWriter {
    this.signal.throwIfAborted();
    if (this.#pump === undefined) throw new WorkerError('INTERNAL', 'the commit does not take bytes yet');
    return this.#pump;
  }
}
