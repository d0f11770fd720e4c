import { WorkerError } from '../../errors.js';
import type { NativeFile } from '../../vram/file.js';
import type { Load, LoadResult } from '../../vram/load.js';
import type { Slot, Staging } from '../../vram/staging.js';
import type { Abortable } from '../state/abortable.js';
import type { CommitSlot } from '../state/commit_queue.js';
import type { ByteRange } from '../state/snapshot.js';

import type { CommitResult } from './request.js';
import type { StagingWriter } from './staging_writer.js';
import { StagingWriters } from './staging_writers.js';

/** Made once, because a stack trace costs 20 microseconds. */
const hasLeft = new WorkerError('INTERNAL', 'The commit has left the queue');

/** Staging slots per commit: some are filled while others are copied. */
export const slotsPerCommit = 4;

/** The purpose of an ingest: a new shard, or the comparison with an existing one. */
export interface IngestTarget<Result = CommitResult> {
  readonly totalBytes: number;
  /** Ranges that can be written at a time. 1: the bytes must arrive in order. */
  readonly maxWriters: number;
  open(): Promise<Load>;
  /** Reports how many bytes have arrived so far. */
  received(bytes: number): void;
  /** Takes effect in its last step. Throws the signal's reason if that comes first. */
  complete(received: LoadResult, signal: AbortSignal): Promise<Result>;
  /** Undoes everything. Never rejects. */
  undo(error: unknown): Promise<void>;
  /** Called once, as the last step. `error` is undefined if the ingest succeeded. */
  ended(error: unknown): void;
}

/**
 * Takes the bytes of one admitted commit: waits for a slot, opens the target, receives, completes. If anything fails, or
 * `abort` is called, everything is undone before the promise settles.
 */
export class Ingest<Result = CommitResult> implements Abortable {
  readonly #staging: Staging;
  readonly #target: IngestTarget<Result>;
  readonly #onEnd: () => void;
  #slot: CommitSlot;
  #stagingSlots: readonly Slot[] = [];
  #load: Load | undefined;
  #writers: StagingWriters | undefined;
  #opening: Promise<void> | undefined;
  #finishing: Promise<Result> | undefined;
  #ending: Promise<void> | undefined;
  readonly #aborted = new AbortController();

  constructor(slot: CommitSlot, staging: Staging, target: IngestTarget<Result>, onEnd: () => void) {
    this.#slot = slot;
    this.#staging = staging;
    this.#target = target;
    this.#onEnd = onEnd;
  }

  /** Aborts, with the reason, as soon as the ingest has failed. */
  get signal(): AbortSignal {
    return this.#aborted.signal;
  }

  get totalBytes(): number {
    return this.#target.totalBytes;
  }

  /** Ranges that can be written at a time. 1: the bytes must arrive in order, by `write` and `receive`. */
  get maxWriters(): number {
    return this.#target.maxWriters;
  }

  /**
   * Opens a writer of ranges, which the ingest closes. Undefined if there is no room for one more. No other writer may be
   * in use. @throws WorkerError INTERNAL if the bytes must arrive in order, VramError
   */
  openWriter(): Promise<StagingWriter | undefined> {
    return this.#guard(() => this.#running().open());
  }

  /** Resolves when the commit holds a slot. `start` includes this. */
  acquired(): Promise<void> {
    return this.#guard(() => this.#slot.ready());
  }

  /** Bytes that were taken so far. */
  get receivedBytes(): number {
    return this.#writers?.receivedBytes ?? 0;
  }

  /** Whether other commits wait for a slot. */
  get othersWait(): boolean {
    return this.#slot.othersWait();
  }

  /** Resolves when the commit holds a slot and its memory. The caller need not read the body before that. */
  start(): Promise<void> {
    return this.#guard(() => {
      this.#opening ??= this.#open();
      return this.#opening;
    });
  }

  /**
   * Gives back the commit slot and the staging slots while no bytes arrive. The memory and the bytes stay. No write may be
   * in progress.
   */
  pause(): Promise<void> {
    return this.#guard(async () => {
      await this.#opening;
      await this.#writers?.flush();
      this.signal.throwIfAborted();
      this.#opening = undefined;
      this.#giveBack();
    });
  }

  /**
   * Acquires a slot again after a pause. If this rejects before that, the ingest is still paused. `signal` ends the wait.
   * `queueLimit` is as for `CommitQueue.acquire`.
   * @throws WorkerError TOO_MANY_COMMITS, the signal's reason, and the errors of `start`
   */
  async resume(signal: AbortSignal, queueLimit?: number): Promise<void> {
    this.signal.throwIfAborted();
    signal.throwIfAborted();
    const slot = this.#slot.again(queueLimit);
    this.#slot = slot;
    const leave = () => slot.cancel(signal.reason);
    signal.addEventListener('abort', leave);
    await slot.ready().finally(() => signal.removeEventListener('abort', leave));
    await this.start();
  }

  /** Takes the next bytes. If it returns a promise, await that before the next call. */
  write(chunk: Uint8Array): Promise<void> | undefined {
    return this.#running().inOrder.write(chunk);
  }

  /** Reads from a connected socket natively while bytes keep arriving. Returns how many were read. */
  receive(descriptor: number, maxBytes?: number): Promise<number> {
    return this.#running().inOrder.receive(descriptor, maxBytes);
  }

  /** Reads the next bytes from a range of an open file, natively. */
  file(file: NativeFile, range: ByteRange): Promise<void> {
    return this.#guard(async () => {
      await this.#running().inOrder.file(file, range);
      this.signal.throwIfAborted();
    });
  }

  /** All bytes were written: completes the commit, or throws with everything undone. */
  finish(): Promise<Result> {
    this.#finishing ??= this.#guard(async () => {
      const result = await this.#target.complete(await this.#finishLoad(), this.signal);
      this.#settle(undefined);
      return result;
    });
    return this.#finishing;
  }

  async abort(reason: unknown = new WorkerError('INTERNAL', 'The commit was aborted')): Promise<void> {
    if (this.#finishing !== undefined) {
      this.#aborted.abort(reason);
      await this.#finishing.catch(() => undefined);
      return;
    }
    await this.#undo(reason);
  }

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
    await this.#slot.ready();
    this.#stagingSlots = this.#staging.take(slotsPerCommit);
    this.#load ??= await this.#target.open();
    const { totalBytes, maxWriters } = this.#target;
    const onReceived = (bytes: number) => this.#target.received(bytes);
    const options = { load: this.#load, staging: this.#staging, totalBytes, maxWriters, onReceived };
    this.#writers ??= new StagingWriters({ ...options, signal: this.signal });
    this.#writers.use(this.#stagingSlots);
  }

  /** @throws WorkerError LENGTH_MISMATCH, and the driver's errors */
  async #finishLoad(): Promise<LoadResult> {
    const writers = this.#running();
    const { totalBytes } = this.#target;
    if (writers.receivedBytes !== totalBytes) {
      const detail = `${writers.receivedBytes} bytes arrived, but ${totalBytes} were declared`;
      throw new WorkerError('LENGTH_MISMATCH', detail);
    }
    return writers.finish();
  }

  #undo(error: unknown): Promise<void> {
    this.#ending ??= (async () => {
      this.#aborted.abort(error);
      this.#slot.cancel(error);
      await this.#opening?.catch(() => undefined);
      await this.#writers?.close().catch(() => undefined);
      await this.#target.undo(error);
      this.#settle(error);
    })();
    return this.#ending;
  }

  #settle(error: unknown): void {
    this.#ending ??= Promise.resolve();
    this.#giveBack();
    this.#onEnd();
    this.#target.ended(error);
  }

  /** Leaves the queue, or gives back the slots. */
  #giveBack(): void {
    this.#staging.give(this.#stagingSlots);
    this.#stagingSlots = [];
    this.#slot.cancel(hasLeft);
    this.#slot.release();
  }

  #running(): StagingWriters {
    this.signal.throwIfAborted();
    if (this.#writers === undefined) throw new WorkerError('INTERNAL', 'The commit does not take bytes yet');
    return this.#writers;
  }
}
