import fc from 'fast-check';
import t from 'tap';
import { systemActor } from '../../../src/audit/actor.js';
import { issueSeal } from '../../../src/residency/handle/issue.js';
import { ScrubRate } from '../../../src/residency/integrity/rate.js';
import { type Contention, ScrubThrottle } from '../../../src/residency/integrity/throttle.js';
import { Verifier } from '../../../src/residency/integrity/verifier.js';
import { DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { MemoryGrant } from '../../../src/residency/state/memory_grant.js';
import { silentObserver } from '../../../src/residency/state/observer.js';
import { Shard } from '../../../src/residency/state/shard.js';
import { Shards } from '../../../src/residency/state/shards.js';
import { Signer } from '../../../src/residency/state/signer.js';
import { digestOf } from '../../../src/seal/digest.js';
import { deriveSealKey } from '../../../src/seal/key.js';
import type { SourceReference } from '../../../src/sources/reference.js';
import { isNotBefore } from '../../../src/vram/moment.js';
import type { ByteRange, Throttle } from '../../../src/vram/slices.js';
import { until } from '../../support/until.js';

const groupBytes = 512 * 1024;
const hashBytes = 32;
const groups = 4;
const signer = new Signer('worker-1', 'simulated', deriveSealKey(Buffer.alloc(32, 7), 'worker-1'));
const figures = { name: 'device', uuid: 'GPU-0', totalBytes: 1e9, freeBytes: 1e9, granularityBytes: 1 };
const treeDigest = digestOf(Buffer.alloc(32, 1));

/** Device memory whose reads end one group at a time, when the history says so. */
class FakeMemory {
  readonly content = Buffer.alloc(groups * hashBytes);
  /** The runs that began, and those that read at this moment. */
  runs = 0;
  reading = 0;
  #reads: (() => void)[] = [];

  attest = async (): Promise<void> => undefined;
  treeDigest = () => treeDigest;

  groupHashes = async (throttle: Throttle, onSlice: (slice: ByteRange, hashes: Buffer) => void): Promise<Buffer> => {
    this.runs++;
    this.reading++;
    const hashes = Buffer.alloc(groups * hashBytes);
    try {
      for (let group = 0; group < groups; group++) {
        await throttle.next(groupBytes);
        await new Promise<void>((resolve) => this.#reads.push(resolve));
        this.content.copy(hashes, group * hashBytes, group * hashBytes, (group + 1) * hashBytes);
        onSlice({ offset: group * groupBytes, length: groupBytes }, hashes);
      }
      return hashes;
    } finally {
      this.reading--;
    }
  };

  /** Ends the read of one group, if one is in progress. */
  endRead(): void {
    this.#reads.shift()?.();
  }
}

/** One sealed shard, a verifier, and the questions of the callers so far. */
class World {
  readonly memory = new FakeMemory();
  readonly shard: Shard;
  readonly verifier: Verifier;
  contention: Contention = 'free';
  damagedMs = Number.POSITIVE_INFINITY;
  /** Answers that were wrong. */
  readonly wrong: string[] = [];
  waiting = 0;
  /** How many repairs have begun. All fail. */
  repairs = 0;

  /** Without a source the shard is never repaired. */
  constructor(source?: SourceReference) {
    const device = new DeviceMemory(0, figures, async () => figures);
    const identity = { shardId: 'a', modelRef: 'm', shardIndex: 0, totalShards: 1 };
    this.shard = new Shard(identity, groups * groupBytes, new MemoryGrant(device, device.claim(1)), { source });
    this.shard.allocation = this.memory as never;
    const verifiedAt = { wallMs: 0, monotonicMs: performance.now() };
    const groupHashes = Buffer.alloc(groups * hashBytes);
    this.shard.beginSealing();
    this.shard.markSealed(
      issueSeal(
        this.shard,
        { digest: null, treeDigest, groupHashes, expected: 'none', expectedBy: null, verifiedAt },
        signer,
      ),
    );
    const shards = new Shards();
    shards.add(this.shard);
    this.verifier = new Verifier({
      signer,
      options: {},
      leases: { candidates: () => [] },
      shards,
      sources: { of: () => this.#failRepair() },
      shardAudit: { appendRequired: () => undefined, appendBestEffort: () => undefined },
      lifecycle: { bumpRevision: () => undefined, isEnding: false },
      driverHealth: { report: (error: unknown) => error },
      observer: silentObserver,
    } as never);
  }

  /** A caller asks to verify. Only damage that came before the oldest run that it accepts must be found. */
  verify(ageMs: number): void {
    const notBeforeMs = performance.now() - ageMs;
    const answer = this.verifier.run(this.shard, systemActor, { wallMs: 0, monotonicMs: notBeforeMs });
    this.#expect(answer, notBeforeMs, ({ verified }) => !verified);
  }

  /** A caller asks whether the shard is ready, and accepts a verification of the last two seconds. */
  ready(): void {
    const askedAt = { wallMs: 0, monotonicMs: performance.now() };
    const answer = this.verifier.refresh({ maxAgeSeconds: 2, askedAt, actor: systemActor });
    const isOld = () =>
      this.shard.phase.state !== 'sealed' || !isNotBefore(this.shard.phase.seal.verifiedAt, notBefore);
    const notBefore = { wallMs: 0, monotonicMs: askedAt.monotonicMs - 2000 };
    this.#expect(answer, notBefore.monotonicMs, isOld);
  }

  scrub(): void {
    if (this.shard.state !== 'sealed') return;
    const job = { bytes: this.shard.vramBytes, endByMs: Number.POSITIVE_INFINITY };
    const throttle = new ScrubThrottle(new ScrubRate(1024 ** 4), () => this.contention, job);
    let isAnswered = true;
    const ofCallers = this.shard.nextVerification ?? this.shard.verification;
    if (ofCallers !== undefined) {
      isAnswered = false;
      const answered = () => {
        isAnswered = true;
      };
      ofCallers.report.then(answered, answered);
    }
    const check = () => {
      if (!isAnswered) this.wrong.push('a scrub did not wait for the callers');
    };
    this.verifier.scrub(this.shard, throttle).then(check, () => undefined);
  }

  damage(group: number): void {
    this.memory.content.writeUInt8(1, group * hashBytes);
    this.damagedMs = Math.min(this.damagedMs, performance.now());
  }

  /** A sealed shard must not claim that it was verified after it was damaged. */
  check(): void {
    const { phase } = this.shard;
    if (this.memory.reading > 1) this.wrong.push('two runs read at once');
    if (phase.state === 'sealed' && phase.seal.verifiedAt.monotonicMs > this.damagedMs) this.wrong.push('a false date');
  }

  #failRepair(): never {
    this.repairs++;
    throw new Error('no source');
  }

  #expect<T>(answer: Promise<T>, notBeforeMs: number, isDamage: (answer: T) => boolean): void {
    this.waiting++;
    const check = (result: T) => {
      this.waiting--;
      if (this.damagedMs < notBeforeMs && !isDamage(result)) this.wrong.push('the damage was not found');
    };
    answer.then(check, () => this.wrong.push('a question failed'));
  }
}

/** Lets everything run that does not wait for the history. */
const settle = async () => {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
};

const step = fc.oneof(
  { weight: 5, arbitrary: fc.constant({ kind: 'endRead' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('verify' as const), ageMs: fc.constantFrom(0, 1500, 10_000) }),
  },
  fc.constant({ kind: 'ready' as const }),
  { weight: 2, arbitrary: fc.constant({ kind: 'scrub' as const }) },
  fc.constant({ kind: 'pause' as const }),
  fc.record({ kind: fc.constant('damage' as const), group: fc.constantFrom(0, 1) }),
);

t.test('no caller gets a result that is older than its question allows, and callers share runs', async (t) => {
  let nowMs = 1_000_000;
  t.intercept(performance, 'now', { value: () => nowMs, configurable: true });
  const history = fc.array(step, { maxLength: 30, size: 'max' });
  const play = fc.asyncProperty(history, async (steps) => {
    const world = new World();
    for (const next of steps) {
      nowMs += 1000;
      if (next.kind === 'endRead') world.memory.endRead();
      else if (next.kind === 'verify') world.verify(next.ageMs);
      else if (next.kind === 'ready') world.ready();
      else if (next.kind === 'scrub') world.scrub();
      else if (next.kind === 'damage') world.damage(next.group);
      else world.contention = world.contention === 'paused' ? 'free' : 'paused';
      await settle();
      world.check();
    }
    const before = world.memory.runs;
    for (let turn = 0; turn < 40 && world.waiting > 0; turn++) {
      nowMs += 1000;
      world.memory.endRead();
      await settle();
      world.check();
    }
    if (world.waiting > 0) world.wrong.push('a caller was not answered');
    if (world.memory.runs > before + 1) world.wrong.push('callers waited for more than one run that followed');
    return world.wrong.length === 0;
  });
  await fc.assert(play, { numRuns: 150 });
});

t.test('a caller that replaces a scrub learns of the damage before its repair begins', async (t) => {
  const world = new World({ type: 'file', path: 'model.bin' });
  const { memory, shard, verifier } = world;
  world.damage(0);
  world.scrub();
  /** Ends one read after the other. */
  const readUntil = (condition: () => boolean) =>
    until(() => {
      if (!condition()) memory.endRead();
      return condition();
    });
  await readUntil(() => shard.state === 'corrupt');
  const answer = verifier.run(shard, systemActor);
  await readUntil(() => memory.runs === 2);
  t.equal(world.repairs, 0, 'the run of the caller comes first');
  await readUntil(() => verifier.requested === 0);
  t.match(await answer, { verified: false });
  await until(() => world.repairs > 0);
});
