import t from 'tap';
import { WorkerError } from '../../src/errors.js';
import type { Sender, UploadSink } from '../../src/uploads/sender.js';
import { Uploads } from '../../src/uploads/uploads.js';
import { patternBytes } from '../support/bytes.js';
import { Clocks } from '../support/clock.js';
import { availableBytes } from '../support/requests.js';
import { onSimulator } from '../support/simulator.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';

const bytes = patternBytes(500_000);
const actor = { name: 'test', requestId: 'test' };
const oneSlot = { WORKER_COMMIT_SLOTS: '1', WORKER_COMMIT_QUEUE: '1' };
const requestOf = (shardId: string) => ({
  ...{ shardId, modelRef: 'model', shardIndex: 0, totalShards: 1, flatDigest: true },
  vramBytes: bytes.length,
});

async function start(t: Parameters<typeof startWorker>[0], resumeSeconds = 60) {
  const worker = await startWorker(t, { env: oneSlot });
  return { worker, uploads: new Uploads(worker.residency, { resumeSeconds }) };
}

/** A sender that writes some bytes, and then stays connected until it is closed. */
class LingeringSender implements Sender {
  readonly bytes = undefined;
  readonly part: Buffer;
  isClosed = false;
  readonly #left = new AbortController();

  constructor(part: Buffer) {
    this.part = part;
  }

  get signal(): AbortSignal {
    return this.#left.signal;
  }

  async send(sink: UploadSink): Promise<void> {
    await sink.write(this.part);
    await new Promise((_, reject) => sink.signal.addEventListener('abort', () => reject(sink.signal.reason)));
  }

  close(): void {
    this.isClosed = true;
  }

  leave(): void {
    this.#left.abort(new WorkerError('LENGTH_MISMATCH', 'The client disconnected'));
  }
}

/** A sender of a complete part. */
class QuickSender extends LingeringSender {
  override async send(sink: UploadSink): Promise<void> {
    await sink.write(this.part);
  }
}

const idle = (worker: TestWorker) => worker.residency.stats().commitsWaiting === 0;

t.test('of several requests on one upload, the newest one continues', async (t) => {
  const { worker, uploads } = await start(t);
  const { upload } = await uploads.create(requestOf('a'), actor);
  const senders = Array.from({ length: 5 }, () => new LingeringSender(bytes.subarray(0, 1000)));
  const outcomes = senders.map((sender) => upload.receive(0, sender).catch((error: WorkerError) => error.code));
  await until(() => upload.status().offset === 1000, 'bytes arrive');
  const rest = new QuickSender(bytes.subarray(1000));
  const last = await upload.receive(1000, rest);
  t.same(await Promise.all(outcomes), Array(5).fill('UPLOAD_OFFSET'));
  t.ok(senders.every(({ isClosed }) => isClosed));
  t.notOk(rest.isClosed);
  t.equal(last.sealedShardId, 'a');
  t.ok(idle(worker));
});

t.test(
  'an upload says until when its client can continue it, and then until when it can ask for the outcome',
  async (t) => {
    const { uploads } = await start(t);
    const { upload } = await uploads.create(requestOf('a'), actor);
    Clocks.take(t);
    const secondsLeft = () => Math.round((upload.status().expiresAtMs - Date.now()) / 1000);
    const sender = new LingeringSender(bytes.subarray(0, 1000));
    const sent = upload.receive(0, sender);
    await until(() => upload.status().offset === 1000, 'bytes arrive');
    t.equal(secondsLeft(), 60);
    sender.leave();
    await t.rejects(sent, { code: 'LENGTH_MISMATCH' });
    await upload.receive(1000, new QuickSender(bytes.subarray(1000)));
    t.equal(secondsLeft(), 600);
  },
);

t.test('a client that leaves while it waits for a slot keeps its upload', async (t) => {
  const { worker, uploads } = await start(t);
  const { upload: first } = await uploads.create(requestOf('a'), actor);
  const { upload: second } = await uploads.create(requestOf('b'), actor);
  const { upload: third } = await uploads.create(requestOf('c'), actor);
  const holder = new LingeringSender(bytes.subarray(0, 1000));
  const held = first.receive(0, holder);
  await until(() => first.status().offset === 1000, 'the slot is taken');
  const waiting = new LingeringSender(bytes);
  const waited = second.receive(0, waiting);
  await until(() => !idle(worker), 'it waits');
  await t.rejects(third.receive(0, new QuickSender(bytes)), { code: 'TOO_MANY_COMMITS' });
  waiting.leave();
  await t.rejects(waited, { code: 'LENGTH_MISMATCH' });
  t.ok(idle(worker));
  holder.leave();
  await t.rejects(held, { code: 'LENGTH_MISMATCH' });
  t.equal((await second.receive(0, new QuickSender(bytes))).sealedShardId, 'b');
  t.equal((await third.receive(0, new QuickSender(bytes))).sealedShardId, 'c');
  t.equal((await first.receive(1000, new QuickSender(bytes.subarray(1000)))).sealedShardId, 'a');
});

t.test('a drain ends the uploads that wait for their clients', async (t) => {
  const { worker, uploads } = await start(t);
  const { upload } = await uploads.create(requestOf('a'), actor);
  const { upload: active } = await uploads.create(requestOf('b'), actor);
  const sender = new LingeringSender(bytes.subarray(0, 1000));
  const sent = active.receive(0, sender);
  await until(() => active.status().offset === 1000, 'bytes arrive');
  worker.residency.drain();
  uploads.drain();
  await until(() => worker.residency.commitsInProgress === 1, 'only the active one is left');
  await t.rejects(upload.result(), { code: 'DRAINING' });
  t.equal(active.status().offset, 1000);
  sender.leave();
  await t.rejects(sent, { code: 'LENGTH_MISMATCH' });
  await until(() => worker.residency.commitsInProgress === 0, 'it ends when its client leaves');
  await t.rejects(active.result(), { code: 'DRAINING' });
});

/** Uploads of a worker whose seals take effect, but give their results only once `release` is called. */
async function startWithHeldSeals(t: Parameters<typeof startWorker>[0]) {
  const worker = await startWorker(t, { env: oneSlot });
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let sealed = 0;
  const residency: ConstructorParameters<typeof Uploads>[0] = {
    phase: 'ready',
    admit: (...fields) => {
      const admission = worker.residency.admit(...fields);
      if (admission.kind === 'existing') return admission;
      const { ingest } = admission;
      const finish = ingest.finish.bind(ingest);
      ingest.finish = async () => {
        const result = await finish();
        sealed++;
        await held;
        return result;
      };
      return admission;
    },
  };
  const uploads = new Uploads(residency, { resumeSeconds: 60 });
  const { upload } = await uploads.create(requestOf('a'), actor);
  const sent = upload.receive(0, new QuickSender(bytes));
  sent.catch(() => undefined);
  await until(() => sealed > 0, 'the seal takes effect');
  return { uploads, upload, sent, release };
}

t.test('an upload that ends after its seal took effect has the outcome of the seal', async (t) => {
  const { uploads, upload, sent, release } = await startWithHeldSeals(t);
  const ended = uploads.terminate(upload.uploadId);
  release();
  t.equal((await sent).sealedShardId, 'a');
  await ended;
});

t.test('a request for the outcome of a long seal is answered by SHARD_BUSY', async (t) => {
  const { upload, sent, release } = await startWithHeldSeals(t);
  const { setTimeout: start } = globalThis;
  const waits: (number | undefined)[] = [];
  const immediately = (action: () => void, ms?: number) => start(action, waits.push(ms) && 0);
  const timers = t.intercept(globalThis, 'setTimeout', { value: immediately, configurable: true });
  await t.rejects(upload.result(), { code: 'SHARD_BUSY', message: /500000 of 500000 bytes arrived/ });
  timers.restore();
  t.same(waits, [30_000]);
  release();
  await sent;
  t.equal((await upload.result()).shard.shardId, 'a');
});

t.test('the number of open uploads has a limit', onSimulator, async (t) => {
  const worker = await startWorker(t, { env: oneSlot });
  const uploads = new Uploads(worker.residency, { resumeSeconds: 60, maxOpen: 2 });
  for (const shardId of ['a', 'b']) await uploads.create(requestOf(shardId), actor);
  const before = await availableBytes(worker);
  await t.rejects(uploads.create(requestOf('c'), actor), { code: 'TOO_MANY_COMMITS' });
  t.same(await availableBytes(worker), before, 'the refused one holds nothing');
  t.equal(worker.residency.commitsInProgress, 2);
});
