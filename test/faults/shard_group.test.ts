import t from 'tap';
import type { CommitRequest } from '../../src/residency/commit/request.js';
import { patternBytes } from '../support/bytes.js';
import { shardsListedIn } from '../support/manifest.js';
import { availableBytes, get, mebibyte, post, remove, upload } from '../support/requests.js';
import { admit, contents, receive, shards, startWithFiles, states } from '../support/shard_groups.js';
import { deviceBytes, onSimulator, simulator } from '../support/simulator.js';
import { until } from '../support/until.js';
import { startWorker } from '../support/worker.js';

const stopped = new Error('stopped');

t.afterEach(() => simulator.reset());

t.test('a file with a wrong digest can be received again, and keeps its memory reserved', async (t) => {
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  const group = admit(worker);
  const held = await availableBytes(worker);
  await t.rejects(receive(group, 0, patternBytes(700_000, 9)), { code: 'DIGEST_MISMATCH' });
  t.same(await states(worker), ['receiving', 'receiving', 'receiving']);
  t.same(await availableBytes(worker), held);
  for (const index of contents.keys()) await receive(group, index);
  await group.seal();
  t.same(await states(worker), ['sealed', 'sealed', 'sealed']);
  for (const index of contents.keys()) await remove(worker, `/v1/shards/m-${index}`);
  t.same(await availableBytes(worker), before);
});

t.test('an abort at any step undoes all shards', async (t) => {
  const worker = await startWorker(t);
  const before = await availableBytes(worker);
  for (let received = 0; received <= contents.length; received++) {
    for (const inProgress of received < contents.length ? [false, true] : [false]) {
      const group = admit(worker);
      for (let index = 0; index < received; index++) await receive(group, index);
      const last = inProgress ? receive(group, received).catch((error: unknown) => error) : undefined;
      await group.abort(stopped);
      if (last !== undefined) t.equal(await last, stopped);
      t.same(await states(worker), []);
      t.same(await availableBytes(worker), before);
      await t.rejects(group.seal(), stopped);
    }
  }
  t.equal(worker.residency.commitsInProgress, 0);
});

t.test('a group is refused as a whole, in the order of commits', async (t) => {
  const worker = await startWorker(t, { env: { WORKER_MAX_MODEL_BYTES: String(2 ** 30) } });
  const before = await availableBytes(worker);
  const [first] = shards;
  if (first === undefined) throw new Error('no shard');
  const large = { ...first, vramBytes: 2 ** 30 };
  t.throws(() => admit(worker, { gpuDevices: [7], reservationId: 'absent' }), { code: 'INVALID_PARAMS' });
  t.throws(() => admit(worker, { shards: [large, first], reservationId: 'absent' }), { code: 'NOT_FOUND' });
  t.throws(() => admit(worker, { shards: [large, first] }), { code: 'MODEL_TOO_LARGE' });
  await upload(worker, 'm-0', patternBytes(5));
  t.throws(() => admit(worker, { shards: [{ ...large, vramBytes: 2 ** 29 }] }), { code: 'SHARD_CONFLICT' });
  await remove(worker, '/v1/shards/m-0');
  t.throws(() => admit(worker, { shards: [first, { ...large, shardId: 'b', vramBytes: 2 ** 29 }] }), {
    code: 'VRAM_OOM',
    sizes: { neededBytes: 2 ** 29 + 2 * mebibyte },
  });
  t.same(await availableBytes(worker), before);
  t.same(await states(worker), []);
});

t.test('files fill one device before the next, and two groups cannot have the same memory', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const [bytes = 0] = deviceBytes;
  const half = (shardId: string): CommitRequest => {
    const [first] = shards;
    if (first === undefined) throw new Error('no shard');
    return { ...first, shardId, vramBytes: bytes / 4 };
  };
  const group = admit(worker, { shards: ['a', 'b', 'c', 'd'].map(half) });
  const devices = (await get(worker, '/v1/shards'))
    .json()
    .shards.map(({ gpu_device }: { gpu_device: number }) => gpu_device);
  t.ok(devices.filter((device: number) => device === 0).length >= 3, `devices ${devices}`);
  t.throws(() => admit(worker, { shards: ['e', 'f', 'g', 'h', 'i'].map(half) }), { code: 'VRAM_OOM' });
  await group.abort(stopped);
  await admit(worker, { shards: ['e', 'f', 'g', 'h', 'i'].map(half) }).abort(stopped);
});

t.test('a group takes the memory of a reservation, and gives it back if it fails', async (t) => {
  const worker = await startWorker(t);
  const plan = await post(worker, '/v1/plan', {
    model_ref: 'model',
    shard_layout: 'single',
    shards: contents.map((bytes) => ({ bytes: bytes.length })),
    reserve: true,
  });
  const reservationId: string = plan.json().reservation.reservation_id;
  const reserved = await availableBytes(worker);
  const withReservation = { reservationId, shards: shards.map((shard) => ({ ...shard, reservationId })) };
  const group = admit(worker, withReservation);
  t.same(await availableBytes(worker), reserved);
  t.throws(
    () =>
      admit(worker, {
        ...withReservation,
        shards: withReservation.shards.map((one) => ({ ...one, shardId: `x-${one.shardId}` })),
      }),
    {
      code: 'SHARD_CONFLICT',
    },
  );
  await group.abort(stopped);
  t.same(await availableBytes(worker), reserved);
  const again = admit(worker, withReservation);
  for (const index of contents.keys()) await receive(again, index);
  await again.seal();
  t.same(await availableBytes(worker), reserved);
});

t.test('a shard that is already sealed is part of a group, unless it is released before the seal', async (t) => {
  const worker = await startWorker(t);
  const first = admit(worker);
  for (const index of contents.keys()) await receive(first, index);
  const sealed = await first.seal();
  await remove(worker, '/v1/shards/m-1');
  const second = admit(worker);
  await receive(second, 1);
  const results = await second.seal();
  t.same(
    results.map(({ created }) => created),
    [false, true, false],
  );
  t.equal(results[0]?.handle, sealed[0]?.handle);
  await remove(worker, '/v1/shards/m-1');
  const third = admit(worker);
  t.throws(() => third.begin(0), { code: 'INTERNAL' });
  await receive(third, 1);
  await remove(worker, '/v1/shards/m-2');
  await t.rejects(third.seal(), { code: 'SHARD_BUSY' });
  t.same(await states(worker), ['sealed'], 'the new shard is undone, and the other one stays');
  const same = admit(worker, { shards: shards.slice(0, 1) });
  t.same(
    (await same.seal()).map(({ created }) => created),
    [false],
    'nothing has to be received',
  );
});

t.test('a file that was digested more than 2 s before the last byte is digested again', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const group = admit(worker);
  await receive(group, 0);
  await new Promise((resolve) => setTimeout(resolve, 2100));
  for (const index of [1, 2]) await receive(group, index);
  const before = simulator.calls('cuLaunchKernel');
  const [old, recent] = await group.seal();
  t.ok(simulator.calls('cuLaunchKernel') > before);
  t.ok(
    (old?.shard.lastVerifiedAtMs ?? 0) > (recent?.shard.lastVerifiedAtMs ?? 0),
    'the seal has the time of the new digest',
  );
});

t.test('if any file call fails during the seal of a group, all its shards are sealed, or none', async (t) => {
  const { worker, manifest, files } = await startWithFiles(t);
  const before = await availableBytes(worker);
  const untilHealthy = () => until(async () => (await get(worker, '/readyz')).statusCode === 200);
  let [sealed, refused] = [0, 0];
  for (let nth = 1; nth <= 24; nth++) {
    const group = admit(worker);
    for (const index of contents.keys()) await receive(group, index);
    files.fail(nth, false);
    const outcome = await group.seal().then(
      () => 'sealed',
      (error: { code?: string }) => error.code,
    );
    files.heal();
    await untilHealthy();
    if (outcome === 'sealed') {
      sealed++;
      t.same(await states(worker), ['sealed', 'sealed', 'sealed']);
      for (const index of contents.keys()) t.equal((await remove(worker, `/v1/shards/m-${index}`)).statusCode, 204);
    } else {
      refused++;
      t.equal(outcome, 'AUDIT_UNAVAILABLE', `call ${nth}`);
      t.same(await states(worker), [], `call ${nth}`);
      t.same(shardsListedIn(manifest), [], `call ${nth}: nothing is listed`);
    }
    t.same(await availableBytes(worker), before, `call ${nth}`);
  }
  t.ok(sealed > 0 && refused > 3, `${sealed} sealed, ${refused} refused`);
});
