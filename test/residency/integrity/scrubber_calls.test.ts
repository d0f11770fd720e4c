import { setImmediate as nextTick, setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Scrubber } from '../../../src/residency/integrity/scrubber.js';
import type { ScrubThrottle } from '../../../src/residency/integrity/throttle.js';
import { DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { MemoryGrant } from '../../../src/residency/state/memory_grant.js';
import { Shard } from '../../../src/residency/state/shard.js';
import { Shards } from '../../../src/residency/state/shards.js';
import type { VerifyReport } from '../../../src/residency/state/verify_report.js';
import { sealOf } from '../../support/seal.js';
import { until } from '../../support/until.js';

const vramBytes = 5;
const figures = { name: 'device', uuid: 'GPU-0', totalBytes: 1e9, freeBytes: 1e9, granularityBytes: 1 };

// The timers of a scrubber do not keep the process alive.
const keepAlive = setInterval(() => undefined, 1000);
t.teardown(() => clearInterval(keepAlive));

type Answer = Partial<VerifyReport> | undefined;

/** A scrubber, and a verifier that gives the answers of the test. */
class World {
  readonly shards = new Shards();
  /** The shards that the scrubber verified, in order. */
  readonly calls: string[] = [];
  readonly entries: string[] = [];
  /** How many callers wait for a verification. */
  requested = 0;
  revision = 0;
  answer = async (shard: Shard, _throttle: ScrubThrottle): Promise<Answer> => this.verify(shard);
  readonly scrubber: Scrubber;

  constructor(t: Test, scrubSeconds: number) {
    const verifier = {
      scrub: (shard: Shard, throttle: ScrubThrottle) => {
        this.calls.push(shard.identity.shardId);
        return this.answer(shard, throttle);
      },
    };
    Object.defineProperty(verifier, 'requested', { get: () => this.requested });
    const worker = {
      options: { scrubSeconds, scrubBytesPerSecond: 1024 ** 4 },
      shards: this.shards,
      ingests: new Set(),
      audit: { appendBestEffort: async (event: string) => this.entries.push(event) },
      lifecycle: { bumpRevision: () => this.revision++ },
      driverHealth: { report: (error: unknown) => t.error(error) },
    };
    this.scrubber = new Scrubber(worker as never, verifier as never);
    t.teardown(() => this.scrubber.stop());
  }

  /** Adds a sealed shard that was verified this long ago. */
  seal(shardId: string, ageMs: number): Shard {
    const memory = new DeviceMemory(0, figures, async () => figures);
    const identity = { shardId, modelRef: 'm', shardIndex: 0, totalShards: 1 };
    const shard = new Shard(identity, vramBytes, new MemoryGrant(memory, memory.claim(vramBytes)));
    this.shards.add(shard);
    shard.beginSealing();
    shard.markSealed({ ...sealOf('key'), verifiedAt: { wallMs: 0, monotonicMs: performance.now() - ageMs } });
    return shard;
  }

  verify(shard: Shard): Answer {
    shard.markVerified({ wallMs: 0, monotonicMs: performance.now() });
    return { verified: true, bytes: shard.vramBytes };
  }

  pass = (): Promise<void> => until(() => this.scrubber.status.passes > 0);
}

t.test('a shard that is verified now is verified once, but not while scrubbing is paused', async (t) => {
  const world = new World(t, 0);
  const shard = world.seal('a', 0);
  world.scrubber.pause(true);
  const verified = world.scrubber.verifyNow(shard);
  await nextTick();
  t.same(world.calls, []);
  world.scrubber.pause(false);
  await verified;
  t.same(world.calls, ['a']);
  t.match(world.scrubber.status, { verifiedBytes: vramBytes, failures: 0 });
});

t.test('a pause of a paused scrubber is no event', async (t) => {
  const world = new World(t, 0);
  for (const paused of [false, true, true, false]) world.scrubber.pause(paused);
  t.same(world.entries, ['ScrubPaused', 'ScrubResumed']);
  t.equal(world.revision, 2);
});

t.test('shards become overdue with one change of the revision, and never without a period', async (t) => {
  const [world, off] = [new World(t, 1), new World(t, 0)];
  world.seal('a', 1500);
  off.seal('a', 1500);
  for (const { scrubber } of [world, world, off]) scrubber.tick();
  t.match(world.scrubber.status, { overdueShards: 1, reasons: [{ code: 'SCRUB_OVERDUE' }] });
  t.equal(world.revision, 1);
  t.match(off.scrubber.status, { state: 'off', overdueShards: 0, reasons: [] });
  t.equal(off.revision, 0);
});

t.test('a scrubber without a period never runs, and a pass counts all of its shards', async (t) => {
  const [world, off] = [new World(t, 1), new World(t, 0)];
  for (const each of [world, off]) for (const shardId of ['a', 'b', 'c']) each.seal(shardId, 5000);
  for (const { scrubber } of [off, world]) scrubber.start();
  await world.pass();
  t.match(world.scrubber.status, { state: 'waiting', shardsDone: 3, shardsTotal: 3 });
  t.same(world.calls, ['a', 'b', 'c']);
  t.same(off.calls, []);
});

t.test('a shard that callers verified, without success, is tried again in the same pass', async (t) => {
  const world = new World(t, 1);
  for (const shardId of ['a', 'b']) world.seal(shardId, 5000);
  world.answer = async (shard) => (world.calls.length === 1 ? undefined : world.verify(shard));
  world.scrubber.start();
  await world.pass();
  t.same(world.calls, ['a', 'b', 'a']);
  t.equal(world.scrubber.status.failures, 0);
});

t.test('a verification that was canceled is no failure, and is tried again in the same pass', async (t) => {
  const world = new World(t, 1);
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
  const world = new World(t, 1);
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
  const world = new World(t, 0);
  world.answer = async (shard, throttle) => {
    shard.markCorrupt([], 'none');
    throttle.cancel();
    throw new Error('canceled');
  };
  await world.scrubber.verifyNow(world.seal('a', 0));
  t.equal(world.scrubber.status.failures, 1);
});

t.test('after the last slice of a shard, other work gets time before the next shard', async (t) => {
  const world = new World(t, 3600);
  const [first, second] = [world.seal('a', 0), world.seal('b', 0)];
  world.answer = async (shard, throttle) => {
    await throttle.next(1);
    await sleep(world.calls.length === 1 ? 100 : 0);
    return world.verify(shard);
  };
  await world.scrubber.verifyNow(first);
  world.requested = 1;
  const verified = world.scrubber.verifyNow(second);
  await nextTick();
  t.same(world.calls, ['a']);
  world.requested = 0;
  await verified;
  t.same(world.calls, ['a', 'b']);
});
