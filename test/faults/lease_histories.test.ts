import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { availableBytes, get, post, remove, upload } from '../support/requests.js';
import { simulator } from '../support/simulator.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';
import { Holder } from './leases/holder.js';
import { digestOf, LeaseModel, type Memory, type ModelLease, ModelProcess } from './leases/model.js';
import { scale, seeded } from './scale.js';

const shardIds = ['a', 'b'];
const processes = 2;
const mappedBytes = 2 * 1024 * 1024;
const original = randomBytes(100_000);

type Step =
  | { readonly do: 'commit' | 'release' | 'force' | 'verify'; readonly shard: number }
  | { readonly do: 'attach'; readonly shard: number; readonly process: number }
  | { readonly do: 'detach' | 'keep' | 'write' | 'kill' | 'drop' | 'resume' | 'revoke'; readonly process: number }
  | { readonly do: 'restart' };

const shard = fc.nat(shardIds.length - 1);
const process_ = fc.nat(processes - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('commit' as const), shard }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('release', 'force', 'verify'), shard }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('attach' as const), shard, process: process_ }) },
  {
    weight: 7,
    arbitrary: fc.record({
      do: fc.constantFrom('detach', 'keep', 'write', 'kill', 'drop', 'resume', 'revoke'),
      process: process_,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
);

/** A worker and its clients beside the model of both. */
class History {
  readonly #t: Pick<Test, 'teardown'>;
  readonly #socket: string;
  readonly #model = new LeaseModel(processes);
  readonly #holders: Holder[] = [];
  #worker: TestWorker;
  #allocations = 0;

  private constructor(t: Pick<Test, 'teardown'>, socket: string, worker: TestWorker) {
    this.#t = t;
    this.#socket = socket;
    this.#worker = worker;
    for (let index = 0; index < processes; index++) this.#holders.push(new Holder(t));
  }

  static async start(t: Pick<Test, 'teardown'>, socket: string): Promise<History> {
    return new History(t, socket, await start(t, socket));
  }

  /** @throws Error if the worker differs from the model */
  async run(steps: readonly Step[]): Promise<void> {
    this.#allocations = simulator.live('cuMemCreate');
    const before = await availableBytes(this.#worker);
    for (const each of steps) {
      await this.#step(each);
      await this.#check(before);
    }
    await this.#end(before);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#holders.map((holder) => holder.kill()));
    await this.#worker.stop();
  }

  async #step(each: Step): Promise<void> {
    if (each.do === 'restart') return this.#restart();
    if ('process' in each) return this.#act(each);
    const shardId = shardIds[each.shard] ?? '';
    if (each.do === 'commit') {
      const { statusCode } = await upload(this.#worker, shardId, original, { gpu_device: '0' });
      return expect(each, statusCode, this.#model.commit(shardId, original));
    }
    if (each.do === 'verify') {
      const answer = (await post(this.#worker, `/v1/shards/${shardId}/verify`)).json();
      return expect(each, answer.verified, this.#model.verify(shardId, original));
    }
    const force = each.do === 'force';
    const { statusCode } = await remove(this.#worker, `/v1/shards/${shardId}${force ? '?force=true' : ''}`);
    expect(each, statusCode, this.#model.release(shardId, force));
  }

  async #act(each: Extract<Step, { process: number }>): Promise<void> {
    const process = this.#model.processes[each.process] ?? new ModelProcess();
    const holder = this.#holders[each.process];
    if (holder === undefined) throw new Error('no such process');
    const [leaseId, lease] = [...process.leases].at(-1) ?? [];
    if (each.do === 'kill') return this.#kill(each.process);
    if (each.do === 'drop') {
      if (process.isConnected) await holder.disconnect();
      return process.disconnect();
    }
    if (each.do === 'attach') return this.#attach(holder, process, shardIds[each.shard] ?? '');
    if (leaseId === undefined || lease === undefined) return;
    if (each.do === 'write') {
      await holder.write(leaseId, 5);
      lease.memory.content.writeUInt8(lease.memory.content.readUInt8(5) ^ 1, 5);
      return;
    }
    if (each.do === 'revoke') return this.#revoke(leaseId, lease, process);
    await this.#connect(holder, process);
    if (each.do === 'resume') return this.#resume(holder, leaseId, lease);
    const isKept = each.do === 'keep';
    const answer = await holder.detach(leaseId, isKept);
    expect(each, answer.type, lease.state === 'orphaned' ? 'error' : 'detached');
    process.leases.delete(leaseId);
    if (isKept) process.kept.set(leaseId, lease.memory);
    this.#model.freeUnused();
  }

  async #attach(holder: Holder, process: ModelProcess, shardId: string): Promise<void> {
    await this.#connect(holder, process);
    const answer = await holder.attach(shardId);
    expect('attach', answer.code, this.#model.refusal(shardId));
    const memory = this.#model.shards.get(shardId)?.memory;
    if (answer.type !== 'attached' || memory === undefined) return;
    process.leases.set(answer.lease_id ?? '', { memory, state: 'active', isRevoked: false });
  }

  async #resume(holder: Holder, leaseId: string, lease: ModelLease): Promise<void> {
    const answer = await holder.resume(leaseId);
    const isHere = this.#model.shards.get(lease.memory.shardId)?.memory === lease.memory;
    const isReleasing = isHere && this.#model.shards.get(lease.memory.shardId)?.state === 'releasing';
    if (lease.state === 'orphaned') return expect('resume', answer.code, 'STALE_ALLOCATION');
    if (lease.isRevoked && lease.state === 'lingering') return expect('resume', answer.code, 'FORBIDDEN');
    if (isReleasing) return expect('resume', answer.code, 'SHARD_BUSY');
    expect('resume', answer.type, 'resumed');
    lease.state = 'active';
  }

  async #revoke(leaseId: string, lease: ModelLease, process: ModelProcess): Promise<void> {
    const { statusCode } = await remove(this.#worker, `/v1/leases/${leaseId}`);
    expect('revoke', statusCode, lease.state === 'orphaned' ? 404 : 200);
    if (lease.state === 'orphaned') return;
    if (lease.state === 'active') process.disconnect();
    lease.isRevoked = true;
  }

  async #kill(index: number): Promise<void> {
    await this.#holders[index]?.kill();
    this.#holders[index] = new Holder(this.#t);
    this.#model.processes[index] = new ModelProcess();
    this.#model.freeUnused();
  }

  async #connect(holder: Holder, process: ModelProcess): Promise<void> {
    if (process.isConnected) return;
    await holder.connect(this.#socket);
    process.isConnected = true;
  }

  async #restart(): Promise<void> {
    await this.#worker.stop();
    this.#worker = await start(this.#t, this.#socket);
    this.#model.restart();
  }

  /** Compares the worker's leases and accounts, and the bytes that each process sees, with the model. */
  async #check(before: readonly number[]): Promise<void> {
    const leases = async () => {
      const page = (await get(this.#worker, '/v1/leases')).json().leases;
      return Object.fromEntries(page.map((lease: Record<string, string>) => [lease.lease_id, lease.state]));
    };
    const wanted = this.#model.leases();
    await until(
      async () => isSame(await leases(), wanted),
      `leases: ${JSON.stringify([await leases(), wanted])}`,
      10_000,
    );
    const shards = this.#model.shards.size;
    const available = [(before[0] ?? 0) - shards * mappedBytes, before[1]];
    await until(async () => isSame(await availableBytes(this.#worker), available), 'the accounts differ', 10_000);
    const zombies = [...this.#model.shards.values()].filter(({ state }) => state === 'releasing').length;
    const { devices } = (await get(this.#worker, '/v1/devices')).json();
    expect('zombies', devices[0].zombie_bytes, zombies * mappedBytes);
    for (const [index, { leases: own, kept }] of this.#model.processes.entries()) {
      for (const [leaseId, { memory }] of own) await this.#checkBytes(index, leaseId, memory);
      for (const [leaseId, memory] of kept) await this.#checkBytes(index, leaseId, memory);
    }
  }

  async #checkBytes(index: number, leaseId: string, memory: Memory): Promise<void> {
    const holder = this.#holders[index];
    if (memory.isWiped) expect('wiped', await holder?.isZero(leaseId), true);
    else expect('intact', await holder?.digest(leaseId), digestOf(memory));
  }

  /** Ends all processes and releases all shards: nothing must be left. */
  async #end(before: readonly number[]): Promise<void> {
    for (let index = 0; index < processes; index++) await this.#kill(index);
    await this.#check(before);
    for (const shardId of [...this.#model.shards.keys()]) {
      expect('last release', (await remove(this.#worker, `/v1/shards/${shardId}`)).statusCode, 204);
    }
    expect('memory', JSON.stringify(await availableBytes(this.#worker)), JSON.stringify(before));
    expect('allocations of the driver', simulator.live('cuMemCreate'), this.#allocations);
  }
}

const start = (t: Pick<Test, 'teardown'>, socket: string): Promise<TestWorker> =>
  startWorker(t, {
    env: { WORKER_ATTACH_SOCKET: socket, WORKER_VERIFY_AFTER_LEASE: 'off', WORKER_SCRUB_SECONDS: '0' },
  });

const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
const sorted = (value: unknown): unknown =>
  Array.isArray(value) ? value : Object.entries(value as object).sort(([a], [b]) => (a < b ? -1 : 1));

function expect<T>(what: unknown, actual: T, wanted: T): void {
  if (actual !== wanted) throw new Error(`${JSON.stringify(what)}: ${String(actual)} instead of ${String(wanted)}`);
}

t.test('the worker does what the model of leases says, in random histories', async (t) => {
  const directory = temporaryDirectory(t);
  const descriptors = () => readdirSync('/proc/self/fd').length;
  // The simulator keeps the memory of its devices open from the first worker on.
  await (await start(t, join(directory, 'first.sock'))).stop();
  let count = 0;
  const property = fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 25 }), async (steps) => {
    const teardowns: (() => unknown)[] = [];
    const own = { teardown: (work: () => unknown) => teardowns.push(work) } as unknown as Pick<Test, 'teardown'>;
    const before = descriptors();
    const history = await History.start(own, join(directory, 'attach.sock'));
    try {
      await history.run(steps);
    } finally {
      await history.stop();
      for (const teardown of teardowns) await teardown();
    }
    await until(() => descriptors() <= before, `descriptors: ${descriptors()} instead of ${before}`, 10_000);
    count++;
  });
  const numRuns = scale(8, 10_000);
  await fc.assert(property, { numRuns, ...seeded() });
  t.comment(`figure: lease histories without a divergence ${count} of ${numRuns}`);
});
