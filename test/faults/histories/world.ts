import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InjectOptions } from 'fastify';
import { startWorker, type TestWorker } from '../../support/worker.js';
import { patient, unlessShed } from '../shed.js';
import { type Content, writeContents } from './contents.js';
import { Model, type Shard, type Wish } from './model.js';
import type { OpenUpload } from './open_upload.js';

export interface Heard {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers are compared field by field with the model's.
  readonly json: any;
}

/** An upload whose first half was sent, and its state in the model. */
export interface HalfWay {
  readonly upload: OpenUpload;
  readonly wish: Wish;
  /** The new shard, or the existing one to compare the bytes with. */
  readonly shard: Shard;
  readonly compares: boolean;
}

/** A worker, its model, and their common clock. Many histories share them, and each starts with an empty worker. */
export class World {
  readonly content: (bytes: number, content: number) => Content;
  readonly open: HalfWay[] = [];
  readonly handles: { shardId: string; handle: string; stale: boolean }[] = [];
  model = new Model([], () => 0);
  nowMs = 0;
  #worker: TestWorker | undefined;
  readonly #directory = mkdtempSync(join(tmpdir(), 'vram-histories-'));
  #capacities: readonly number[] = [];

  constructor() {
    this.content = writeContents(join(this.#directory, 'models'));
  }

  get worker(): TestWorker {
    assert.ok(this.#worker);
    return this.#worker;
  }

  async request(options: InjectOptions): Promise<Heard> {
    const answer = await unlessShed(
      () => this.worker.inject(options),
      ({ body }) => body,
    );
    return { status: answer.statusCode, json: answer.body === '' ? null : answer.json() };
  }

  /** Empties worker and model. Replaces a worker that an earlier history broke. */
  async begin(): Promise<void> {
    const broken = this.#worker === undefined || !(await this.#clear().catch(() => false));
    if (broken) await this.restart();
    this.model = new Model(this.#capacities, () => this.nowMs);
    this.handles.length = 0;
  }

  /** Stops the worker as a signal does, also during commits, and starts another. */
  async restart(): Promise<void> {
    const { open } = this;
    await this.#worker?.stop();
    for (const { upload } of open.splice(0)) {
      const { status } = await upload.heard;
      assert.ok(status === 0 || status === 503, `an upload into a worker that stops was answered ${status}`);
    }
    for (const handle of this.handles) handle.stale = true;
    const env = { ...patient, WORKER_MODEL_DIR: join(this.#directory, 'models') };
    const owner = { teardown: () => undefined };
    this.#worker = await startWorker(owner, { env, listen: true, monotonicMs: () => this.nowMs });
    const { json } = await this.request({ url: '/v1/devices' });
    // The worker allocates its own device memory before it starts.
    this.#capacities = json.devices.map((device: { free_bytes: number }) => device.free_bytes);
    this.model = new Model(this.#capacities, () => this.nowMs);
  }

  /** Waits until the worker receives as many commits as the history has open uploads. */
  async settled(): Promise<void> {
    while (this.worker.residency.commitsInProgress !== this.open.length) await new Promise(setImmediate);
  }

  /** Compares the worker's devices and shards with the model. */
  async compare(): Promise<void> {
    const { json } = await this.request({ url: '/v1/devices' });
    for (const [device, capacityBytes] of this.#capacities.entries()) {
      const view = json.devices[device];
      const used = this.model.usedBytes(device);
      const reserved = this.model.reservedBytes(device);
      assert.ok(used + reserved <= capacityBytes, `device ${device} is oversold in the model`);
      assert.ok(
        view.total_bytes - view.free_bytes + view.reserved_bytes <= view.total_bytes,
        `device ${device} is oversold`,
      );
      const reported = [view.free_bytes, view.reserved_bytes, view.available_bytes];
      assert.deepEqual(reported, [capacityBytes - used, reserved, capacityBytes - used - reserved], `device ${device}`);
    }
    const listed = (await this.request({ url: '/v1/shards' })).json.shards;
    const ids = listed.map((one: Record<string, unknown>) => [one.shard_id, one.state, one.gpu_device]);
    const known = [...this.model.shards.values()].map((one) => [one.shardId, one.state, one.device]);
    assert.deepEqual(ids, known.sort(), 'the shards');
  }

  async end(): Promise<void> {
    for (const { upload } of this.open.splice(0)) upload.leave();
    await this.#worker?.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #clear(): Promise<boolean> {
    for (const { upload } of this.open.splice(0)) upload.leave();
    await this.settled();
    for (const id of this.model.reservations.byId.keys()) {
      await this.request({ method: 'DELETE', url: `/v1/reservations/${id}` });
    }
    for (const id of this.model.shards.keys()) await this.request({ method: 'DELETE', url: `/v1/shards/${id}` });
    const { devices } = (await this.request({ url: '/v1/devices' })).json;
    const available = devices.map((one: { available_bytes: number }) => one.available_bytes);
    return available.every((bytes: number, device: number) => bytes === this.#capacities[device]);
  }
}
