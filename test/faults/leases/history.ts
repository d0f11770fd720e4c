import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { until } from '../../support/until.js';
import { Holder } from './holder.js';
import { digestOf, LeaseModel, type Memory, type ModelLease, ModelProcess } from './model.js';
import { type Answer, type Server, type StartServer, socketIn, writeModel } from './server.js';
import { processCount, type Step, shardIds } from './steps.js';

const mappedBytes = 2 * 1024 * 1024;
export const original = randomBytes(100_000);

/** A worker and its clients, with the model of both. They serve one history after the other, because starting them costs more. */
export class LeaseWorld {
  readonly #t: Pick<Test, 'teardown'>;
  readonly #directory: string;
  readonly #startServer: StartServer;
  readonly #holders: Holder[];
  #model = new LeaseModel(processCount);
  #server: Server;
  #availableBytes: readonly number[] = [];

  private constructor(t: Pick<Test, 'teardown'>, directory: string, startServer: StartServer, server: Server) {
    this.#t = t;
    this.#directory = directory;
    this.#startServer = startServer;
    this.#server = server;
    this.#holders = Array.from({ length: processCount }, () => new Holder(t));
  }

  static async start(t: Pick<Test, 'teardown'>, directory: string, startServer: StartServer): Promise<LeaseWorld> {
    writeModel(directory, original);
    return new LeaseWorld(t, directory, startServer, await startServer(t, directory));
  }

  /** Plays a history from its start to a worker without shards and leases. @throws Error if the worker differs from the model */
  async play(steps: readonly Step[]): Promise<void> {
    this.#model = new LeaseModel(processCount);
    const allocations = this.#server.allocations();
    this.#availableBytes = (await this.#devices()).map(({ available_bytes }) => available_bytes);
    for (const each of steps) {
      await this.#step(each);
      await this.#check();
    }
    await this.#end();
    expect('allocations of the driver', this.#server.allocations(), allocations);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#holders.map((holder) => holder.kill()));
    await this.#server.stop('restart');
  }

  async #step(each: Step): Promise<void> {
    if (each.do === 'restart' || each.do === 'crash') return this.#restart(each.do);
    if ('process' in each) return this.#act(each);
    const shardId = shardIds[each.shard] ?? '';
    if (each.do === 'commit') return this.#commit(shardId);
    if (each.do === 'verify') return this.#verify(shardId);
    const force = each.do === 'force';
    const { status } = await this.#request('DELETE', `/v1/shards/${shardId}${force ? '?force=true' : ''}`);
    expect(each, status, this.#model.release(shardId, force));
  }

  async #commit(shardId: string): Promise<void> {
    const source = { type: 'file', path: 'model' };
    const fields = { shard_id: shardId, model_ref: 'm', gpu_device: 0, source };
    const { status } = await (shardId === 'b'
      ? this.#request('POST', '/v1/commit', fields)
      : this.#request('PUT', `/v1/commit?shard_id=${shardId}&model_ref=m&gpu_device=0`, original));
    expect(`commit ${shardId}`, status, this.#model.commit(shardId, original));
  }

  /** A damaged shard from a file is repaired in the background. */
  async #verify(shardId: string): Promise<void> {
    const { body } = await this.#request('POST', `/v1/shards/${shardId}/verify`);
    const wanted = this.#model.verify(shardId, original);
    expect(`verify ${shardId}`, body.verified, wanted);
    if (shardId !== 'b' || wanted !== false) return;
    const state = async () => (await this.#request('GET', '/v1/shards/b')).body.state;
    await until(async () => (await state()) === 'sealed', 'the shard was not repaired');
    this.#model.repair(shardId, original);
  }

  async #act(each: Extract<Step, { process: number }>): Promise<void> {
    const process = this.#model.processes[each.process] ?? new ModelProcess();
    const holder = this.#holder(each.process);
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
    const shard = this.#model.shards.get(lease.memory.shardId);
    if (lease.state === 'orphaned') return expect('resume', answer.code, 'STALE_ALLOCATION');
    if (lease.isRevoked && lease.state === 'lingering') return expect('resume', answer.code, 'FORBIDDEN');
    if (shard?.memory === lease.memory && shard.state === 'releasing') {
      return expect('resume', answer.code, 'SHARD_BUSY');
    }
    expect('resume', answer.type, 'resumed');
    lease.state = 'active';
  }

  async #revoke(leaseId: string, lease: ModelLease, process: ModelProcess): Promise<void> {
    const { status } = await this.#request('DELETE', `/v1/leases/${leaseId}`);
    expect('revoke', status, lease.state === 'orphaned' ? 404 : 200);
    if (lease.state === 'orphaned') return;
    if (lease.state === 'active') process.disconnect();
    lease.isRevoked = true;
  }

  #holder(index: number): Holder {
    const holder = this.#holders[index];
    if (holder === undefined) throw new Error('no such process');
    return holder;
  }

  async #kill(index: number): Promise<void> {
    await this.#holder(index).kill();
    this.#holders[index] = new Holder(this.#t);
    this.#model.processes[index] = new ModelProcess();
    this.#model.freeUnused();
  }

  async #connect(holder: Holder, process: ModelProcess): Promise<void> {
    if (process.isConnected) return;
    await holder.connect(socketIn(this.#directory));
    process.isConnected = true;
  }

  async #restart(how: 'restart' | 'crash'): Promise<void> {
    await this.#server.stop(how);
    this.#server = await this.#startServer(this.#t, this.#directory);
    this.#model.restart(how);
  }

  /** Compares the worker's leases and accounts, and the bytes that each process sees, with the model. */
  async #check(): Promise<void> {
    const leases = async () => {
      const page = (await this.#request('GET', '/v1/leases')).body.leases as Record<string, string>[];
      return Object.fromEntries(page.map((lease) => [lease.lease_id, lease.state]));
    };
    const wanted = this.#model.leases();
    const difference = async () => `leases: ${JSON.stringify([await leases(), wanted])}`;
    await until(async () => isSame(await leases(), wanted), 'the leases differ').catch(async () => {
      throw new Error(await difference());
    });
    const available = [(this.#availableBytes[0] ?? 0) - this.#model.shards.size * mappedBytes, this.#availableBytes[1]];
    const zombies = [...this.#model.shards.values()].filter(({ state }) => state === 'releasing').length;
    await until(async () => {
      const devices = await this.#devices();
      const isAvailable = devices.every(({ available_bytes }, index) => available_bytes === available[index]);
      return isAvailable && devices[0]?.zombie_bytes === zombies * mappedBytes;
    }, 'the accounts differ');
    for (const [index, { leases: own, kept }] of this.#model.processes.entries()) {
      for (const [leaseId, { memory }] of own) await this.#checkBytes(index, leaseId, memory);
      for (const [leaseId, memory] of kept) await this.#checkBytes(index, leaseId, memory);
    }
  }

  /** Waits if the worker limits the rate, which histories reach on a fast machine. */
  async #request(...request: Parameters<Server['request']>): Promise<Answer> {
    for (;;) {
      const answer = await this.#server.request(...request);
      if (answer.status !== 429) return answer;
      await sleep(100);
    }
  }

  async #devices(): Promise<readonly { available_bytes: number; zombie_bytes: number }[]> {
    const { body } = await this.#request('GET', '/v1/devices');
    return body.devices as { available_bytes: number; zombie_bytes: number }[];
  }

  async #checkBytes(index: number, leaseId: string, memory: Memory): Promise<void> {
    if (memory.isWiped) expect('wiped', await this.#holder(index).isZero(leaseId), true);
    else expect('intact', await this.#holder(index).digest(leaseId), digestOf(memory));
  }

  /** Ends all leases and releases all shards: nothing must be left. The processes stay. */
  async #end(): Promise<void> {
    for (const [index, process] of this.#model.processes.entries()) {
      if (process.leases.size > 0) await this.#connect(this.#holder(index), process);
      await this.#holder(index).reset();
      this.#model.processes[index] = new ModelProcess();
    }
    this.#model.freeUnused();
    await this.#check();
    for (const shardId of [...this.#model.shards.keys()]) {
      expect('last release', (await this.#request('DELETE', `/v1/shards/${shardId}`)).status, 204);
    }
    this.#model.shards.clear();
    await this.#check();
  }
}

const isSame = (a: object, b: object): boolean => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
const sorted = (value: object): unknown => Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));

function expect<T>(what: unknown, actual: T, wanted: T): void {
  if (actual !== wanted) throw new Error(`${JSON.stringify(what)}: ${String(actual)} instead of ${String(wanted)}`);
}
