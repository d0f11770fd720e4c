import { setImmediate as nextTick } from 'node:timers/promises';
import t from 'tap';
import { Clocks } from '../../support/clock.js';
import { until } from '../../support/until.js';
import { ScrubWorld, vramBytes } from './scrub_world.js';

// The timers of a scrubber do not keep the process alive.
const keepAlive = setInterval(() => undefined, 1000);
t.teardown(() => clearInterval(keepAlive));

t.test('a shard that is verified now is verified once, but not while scrubbing is paused', async (t) => {
  const world = new ScrubWorld(t, 3600);
  const shard = world.seal('a', 0);
  world.scrubber.pause(true);
  t.equal(world.scrubber.status.state, 'paused');
  const verified = world.scrubber.verifyNow(shard);
  await nextTick();
  t.same(world.calls, []);
  world.scrubber.pause(false);
  await verified;
  t.same(world.calls, ['a']);
  t.match(world.scrubber.status, { verifiedBytes: vramBytes, failures: 0 });
});

t.test('a pause of a paused scrubber is no event', async (t) => {
  const world = new ScrubWorld(t, 0);
  for (const paused of [false, true, true, false]) world.scrubber.pause(paused);
  t.same(world.entries, [
    ['ScrubPaused', 'warning'],
    ['ScrubResumed', 'info'],
  ]);
  t.equal(world.revision, 2);
});

t.test('shards become overdue with one change of the revision, and never without a period', async (t) => {
  Clocks.take(t);
  const [world, off] = [new ScrubWorld(t, 1), new ScrubWorld(t, 0)];
  for (const each of [world, off]) each.seal('a', 1500);
  world.seal('b', 0);
  t.same(world.scrubber.status.reasons, []);
  for (const { scrubber } of [world, world, off]) scrubber.tick();
  t.match(world.scrubber.status, { overdueShards: 1, reasons: [{ code: 'SCRUB_OVERDUE' }] });
  t.equal(world.revision, 1);
  t.match(off.scrubber.status, { state: 'off', overdueShards: 0, reasons: [] });
  t.equal(off.revision, 0);
});

t.test('a scrubber without a period never runs, and a pass counts all of its shards', async (t) => {
  const [world, off] = [new ScrubWorld(t, 1), new ScrubWorld(t, 0)];
  for (const each of [world, off]) for (const shardId of ['a', 'b', 'c']) each.seal(shardId, 5000);
  const progress: unknown[] = [];
  world.answer = async (shard) => {
    const { state, shardsDone, shardsTotal } = world.scrubber.status;
    progress.push([state, shardsDone, shardsTotal, world.revision]);
    return world.verify(shard);
  };
  for (const { scrubber } of [off, world]) scrubber.start();
  await world.pass();
  t.same(progress, [
    ['running', 0, 3, 1],
    ['running', 1, 3, 2],
    ['running', 2, 3, 3],
  ]);
  t.match(world.scrubber.status, { state: 'waiting', shardsDone: 3, shardsTotal: 3, lastPassFinishedAtMs: Number });
  t.same(world.calls, ['a', 'b', 'c']);
  t.same(off.calls, []);
});

t.test('no pass begins while scrubbing is paused or no shard is due', async (t) => {
  Clocks.take(t);
  const [paused, early, world] = [new ScrubWorld(t, 1), new ScrubWorld(t, 1), new ScrubWorld(t, 1)];
  paused.seal('a', 5000);
  early.seal('a', 0);
  world.seal('a', 5000);
  paused.scrubber.pause(true);
  // Their timers fire in this order.
  for (const { scrubber } of [paused, early, world]) scrubber.start();
  await world.pass();
  t.match(paused.scrubber.status, { state: 'paused', shardsTotal: 0 });
  t.match(early.scrubber.status, { state: 'waiting', shardsTotal: 0 });
});

t.test('a shard that callers verified, without success, is tried again in the same pass', async (t) => {
  const world = new ScrubWorld(t, 1);
  for (const shardId of ['a', 'b']) world.seal(shardId, 5000);
  world.answer = async (shard) => (world.calls.length === 1 ? undefined : world.verify(shard));
  world.scrubber.start();
  await world.pass();
  t.same(world.calls, ['a', 'b', 'a']);
  t.equal(world.scrubber.status.failures, 0);
});

t.test('a verification that was canceled is no failure, and is tried again in the same pass', async (t) => {
  const world = new ScrubWorld(t, 1);
  world.seal('a', 5000);
  world.answer = async (shard, throttle) => {
    if (world.calls.length > 1) return world.verify(shard);
    throttle.cancel();
    throw new Error('canceled');
  };
  world.scrubber.start();
  await world.pass();
  t.same(world.calls, ['a', 'a']);
  t.equal(world.scrubber.status.failures, 0);
});

t.test('a shard that could not be verified during a pass is not tried again in it', async (t) => {
  const world = new ScrubWorld(t, 1);
  const [, last] = [world.seal('a', 5000), world.seal('b', 5000)];
  world.answer = async (shard) => {
    if (shard === last) throw new Error('failed');
    await world.scrubber.verifyNow(last);
    return world.verify(shard);
  };
  world.scrubber.start();
  await world.pass();
  t.same(world.calls, ['a', 'b']);
  t.equal(world.scrubber.status.failures, 1);
});

t.test('damage that a canceled verification found is a failure', async (t) => {
  const world = new ScrubWorld(t, 0);
  world.answer = async (shard, throttle) => {
    shard.markCorrupt([], 'none');
    throttle.cancel();
    throw new Error('canceled');
  };
  await world.scrubber.verifyNow(world.seal('a', 0));
  t.equal(world.scrubber.status.failures, 1);
});

const contention: Record<string, { readonly isBusy: boolean; readonly begin: (world: ScrubWorld) => void }> = {
  'no other work': { isBusy: false, begin: () => undefined },
  'a requested verification': { isBusy: true, begin: (world) => world.requested++ },
  'a commit without bytes': { isBusy: false, begin: (world) => void world.ingest() },
  'a commit whose bytes arrive': { isBusy: true, begin: (world) => world.ingest().receivedBytes++ },
  'a commit that is being proven': { isBusy: true, begin: (world) => world.ingest().beginSealing() },
};

for (const [work, { isBusy, begin }] of Object.entries(contention)) {
  const outcome = isBusy ? 'gets time before the next shard' : 'does not delay the next shard';
  t.test(`after the last slice of a shard, ${work} ${outcome}`, async (t) => {
    const clocks = Clocks.take(t);
    const world = new ScrubWorld(t, 3600);
    const [first, second] = [world.seal('a', 1), world.seal('b', 1)];
    world.answer = async (shard, throttle) => {
      await throttle.next(1);
      clocks.pass(50);
      return world.verify(shard);
    };
    await world.scrubber.verifyNow(first);
    begin(world);
    const verified = world.scrubber.verifyNow(second);
    await nextTick();
    t.same(world.calls, isBusy ? ['a'] : ['a', 'b']);
    world.requested = 0;
    world.ingests.clear();
    await verified;
    t.same(world.calls, ['a', 'b']);
  });
}

t.test('damage is a failure, and a report without a caller is none', async (t) => {
  const world = new ScrubWorld(t, 0);
  const shard = world.seal('a', 0);
  for (const answer of [{ verified: false }, undefined]) {
    world.answer = async () => answer;
    await world.scrubber.verifyNow(shard);
  }
  t.match(world.scrubber.status, { verifiedBytes: 0, failures: 1 });
});

t.test('a stop ends the verification that waits, and a later one never begins', async (t) => {
  const world = new ScrubWorld(t, 0);
  const shard = world.seal('a', 0);
  world.scrubber.pause(true);
  const verified = world.scrubber.verifyNow(shard);
  world.scrubber.stop();
  await verified;
  world.scrubber.pause(false);
  await world.scrubber.verifyNow(shard);
  t.same(world.calls, []);
  t.equal(world.scrubber.status.failures, 0);
});

t.test('a stop during a pass ends it', async (t) => {
  const world = new ScrubWorld(t, 1);
  for (const shardId of ['a', 'b']) world.seal(shardId, 5000);
  world.answer = async () => {
    world.scrubber.stop();
    return undefined;
  };
  world.scrubber.start();
  await until(() => world.calls.length > 0 && world.scrubber.status.state === 'waiting');
  t.same(world.calls, ['a']);
  t.match(world.scrubber.status, { passes: 0, shardsDone: 0, shardsTotal: 2, lastPassFinishedAtMs: null });
});

t.test('a pass begins at its exact time, and a shard that was verified at that moment is not read', async (t) => {
  const world = new ScrubWorld(t, 1);
  // So late that the time to read a shard is lost in rounding.
  const nowMs = 2 ** 40;
  t.intercept(performance, 'now', { value: () => nowMs });
  await world.scrubber.verifyNow(world.seal('a', 0));
  t.same(world.calls, []);
  world.seal('b', 900);
  world.scrubber.start();
  await until(() => world.scrubber.status.passes > 0, 'no pass');
  t.same(world.calls, ['b']);
});
