import type { Actor } from '../../audit/actor.js';
import { WorkerError } from '../../errors.js';
import type { Moment } from '../../vram/moment.js';
import type { Abortable } from '../state/abortable.js';
import { settleAll } from '../state/settle_all.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { GroupMember } from './group_member.js';
import type { Ingest } from './ingest.js';
import { type CommitResult, resultOf } from './request.js';
import { sealShards } from './seal_shards.js';
import type { ShardCommit } from './shard_commit.js';

/** A shard of an admitted group: a new one, or the same one that is already sealed. */
export type GroupShard =
  | { readonly kind: 'new'; readonly commit: ShardCommit }
  | { readonly kind: 'existing'; readonly shard: Shard };

type Member = GroupMember | { readonly existing: Shard };

/**
 * Shards that are committed together: all of them are sealed, or none. It holds the memory of all from its admission. Each
 * file is received and proven alone, with a commit slot of its own, and then waits without one. If anything fails, or
 * `abort` is called, everything is undone before the promise settles.
 */
export class ShardGroup implements Abortable {
  readonly #worker: WorkerState;
  readonly #actor: Actor;
  readonly #members: readonly Member[];
  readonly #aborted = new AbortController();
  #sealing: Promise<readonly CommitResult[]> | undefined;
  #ending: Promise<void> | undefined;

  constructor(worker: WorkerState, shards: readonly GroupShard[], actor: Actor) {
    this.#worker = worker;
    this.#actor = actor;
    this.#members = shards.map((one) =>
      one.kind === 'new' ? new GroupMember(worker, one.commit, this.signal) : { existing: one.shard },
    );
    worker.ingests.add(this);
  }

  /** Aborts, with the reason, as soon as the group has failed. */
  get signal(): AbortSignal {
    return this.#aborted.signal;
  }

  /** Whether a shard is new, by its place in the request, and not one that was already sealed. */
  isNew(index: number): boolean {
    return this.#members[index] instanceof GroupMember;
  }

  /**
   * Begins to receive a file. After a failed attempt, it may be called again for the same file, which then begins with its
   * first byte. `finish` of the ingest proves the bytes. The caller bounds how many files it receives at a time.
   */
  begin(index: number): Ingest<void> {
    this.signal.throwIfAborted();
    const member = this.#members[index];
    if (member instanceof GroupMember) return member.begin();
    throw new WorkerError('INTERNAL', 'The file is not received: its shard is already sealed');
  }

  /** Seals all shards together, once all are proven. Throws with everything undone. */
  seal(): Promise<readonly CommitResult[]> {
    this.#sealing ??= this.#seal().catch(async (error: unknown) => {
      await this.#undo(error);
      throw error;
    });
    return this.#sealing;
  }

  /** Undoes everything, unless the seal has taken effect. Never rejects. */
  async abort(reason: unknown): Promise<void> {
    if (this.#sealing === undefined) return this.#undo(reason);
    this.#aborted.abort(reason);
    await this.#sealing.catch(() => undefined);
  }

  async stop(reason: unknown): Promise<void> {
    await (this.#sealing?.catch(() => undefined) ?? this.#undo(reason));
  }

  get #new(): readonly GroupMember[] {
    return this.#members.filter((member) => member instanceof GroupMember);
  }

  async #seal(): Promise<readonly CommitResult[]> {
    this.signal.throwIfAborted();
    await this.#refresh(this.#lastByteAt());
    const proven = this.#new.map(({ sealable }) => sealable ?? unproven());
    let existing: CommitResult[] = [];
    const check = () => {
      existing = this.#existingResults();
    };
    if (proven.length === 0) check();
    const results = await sealShards(this.#worker, proven, { actor: this.#actor, signal: this.signal, check });
    this.#worker.ingests.delete(this);
    for (const { commit } of this.#new) commit.ended(undefined);
    const [created, found] = [results.values(), existing.values()];
    return this.#members.map((member) => (member instanceof GroupMember ? created : found).next().value ?? unproven());
  }

  /** The last byte of the group counts as the last byte of each file. */
  #lastByteAt(): Moment | undefined {
    const arrivals = this.#new.map(({ arrivedAt }) => arrivedAt ?? unproven());
    return arrivals.reduce<Moment | undefined>(
      (last, at) => (last === undefined || at.monotonicMs > last.monotonicMs ? at : last),
      undefined,
    );
  }

  /** Digests old files again: all devices at once, and one file at a time on each. */
  async #refresh(lastByteAt: Moment | undefined): Promise<void> {
    if (lastByteAt === undefined) return;
    const devices = [...new Set(this.#new.map(({ commit }) => commit.gpuDevice))];
    await settleAll(
      devices.map(async (gpuDevice) => {
        for (const member of this.#new) if (member.commit.gpuDevice === gpuDevice) await member.refresh(lastByteAt);
      }),
    );
  }

  /** @throws WorkerError SHARD_BUSY if a shard that was already sealed is no longer sealed */
  #existingResults(): CommitResult[] {
    return this.#members.flatMap((member) => {
      if (member instanceof GroupMember) return [];
      const { existing } = member;
      const { shardId } = existing.identity;
      const { seal, state, releaseRequested } = existing;
      const isHere = this.#worker.shards.get(shardId) === existing;
      if (seal !== undefined && state === 'sealed' && isHere && !releaseRequested) {
        return [resultOf(existing, seal.handle, false)];
      }
      throw new WorkerError('SHARD_BUSY', `The shard ${shardId} was sealed before, but no longer is`);
    });
  }

  #undo(error: unknown): Promise<void> {
    this.#ending ??= (async () => {
      this.#aborted.abort(error);
      await Promise.all(this.#new.map((member) => member.abandon(error)));
      this.#worker.ingests.delete(this);
    })();
    return this.#ending;
  }
}

function unproven(): never {
  throw new WorkerError('INTERNAL', 'A shard of the group is not proven');
}
