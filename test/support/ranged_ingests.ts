import type { Test } from 'tap';
import { Ingest, type IngestTarget, slotsPerCommit } from '../../src/residency/commit/ingest.js';
import { CommitQueue } from '../../src/residency/state/commit_queue.js';
import type { Allocation } from '../../src/vram/allocation.js';
import { Driver } from '../../src/vram/driver.js';
import type { Load, LoadResult } from '../../src/vram/load.js';
import type { Slot } from '../../src/vram/staging.js';
import { driverOptions } from './driver_options.js';

const commits = 2;
const spareSlots = 6;

/** A commit of bytes in any order, without the rest of a worker. Its result is the digests of the host. */
export class RangedTarget implements IngestTarget<LoadResult> {
  readonly maxWriters = 8;
  receivedBytes = 0;
  allocation: Allocation | undefined;

  constructor(
    private readonly driver: Driver,
    readonly totalBytes: number,
  ) {}

  async open(): Promise<Load> {
    this.allocation = await this.driver.allocate(0, this.totalBytes);
    return this.allocation.load({ flat: false, tree: true });
  }

  received(bytes: number): void {
    this.receivedBytes = bytes;
  }

  async complete(received: LoadResult): Promise<LoadResult> {
    return received;
  }

  async undo(): Promise<void> {
    await this.allocation?.free();
  }

  ended(): void {}
}

/** A driver with slots for two commits, and ingests that use it. */
export class RangedIngests {
  readonly driver: Driver;
  readonly #queue = new CommitQueue(commits, 0);

  private constructor(driver: Driver) {
    this.driver = driver;
  }

  static async open(t: Test): Promise<RangedIngests> {
    const options = { ...driverOptions(t), stagingSlots: commits * slotsPerCommit, spareSlots };
    const driver = await Driver.open(options);
    t.teardown(() => driver.close());
    return new RangedIngests(driver);
  }

  async start(totalBytes: number): Promise<{ readonly ingest: Ingest<LoadResult>; readonly target: RangedTarget }> {
    const target = new RangedTarget(this.driver, totalBytes);
    const ingest = new Ingest(this.#queue.acquire(), this.driver.staging, target, () => undefined);
    await ingest.start();
    return { ingest, target };
  }

  /** Whether every slot is free, each once. */
  get areSlotsFree(): boolean {
    const { staging } = this.driver;
    const slots: Slot[] = staging.take(commits * slotsPerCommit);
    for (let slot = staging.takeSpare(); slot !== undefined; slot = staging.takeSpare()) slots.push(slot);
    staging.give(slots);
    return new Set(slots.map(({ index }) => index)).size === commits * slotsPerCommit + spareSlots;
  }
}
