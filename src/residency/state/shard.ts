import { randomUUID } from 'node:crypto';
import { WorkerError } from '../../errors.js';
import type { SourceReference } from '../../sources/reference.js';
import { textOf } from '../../sources/reference_text.js';
import type { Allocation } from '../../vram/allocation.js';
import type { Moment } from '../../vram/moment.js';
import type { PartLayout } from '../../vram/part_layout.js';
import type { DeviceMemory } from './device_memory.js';
import type { MemoryGrant } from './memory_grant.js';
import type { NextVerification, RunningVerification } from './running_verification.js';
import type { Seal } from './seal.js';
import { type Phase, type PhaseKeys, sealIn, shardTransitions, type Transition } from './shard_phase.js';
import type { ByteRange, ShardIdentity, ShardSnapshot, ShardState } from './snapshot.js';

export interface ShardOptions {
  readonly source?: SourceReference | undefined;
  readonly exportable?: boolean;
  /** The memory of an earlier process. By default the shard gets new memory. */
  readonly allocationId?: string;
}

/** One shard of this worker: its identity, its memory, its phase, and the work in progress on it. */
export class Shard {
  readonly identity: ShardIdentity;
  readonly vramBytes: number;
  readonly grant: MemoryGrant;
  /** The file to repair and restore it from. An upload has none, and neither has a URL with a query. */
  readonly source: SourceReference | undefined;
  /** Whether the memory can be handed over to other processes. */
  readonly exportable: boolean;
  /** How the memory is divided into parts; undefined if no keeper may hold it. */
  layout: PartLayout | undefined;
  receivedBytes = 0;
  allocation: Allocation | undefined;
  /** The verification in progress. */
  verification: RunningVerification | undefined;
  /** The verification that follows. All callers that arrive before it begins wait for it together. */
  nextVerification: NextVerification | undefined;
  /** A release is writing its audit entry. The shard refuses another one. */
  releaseRequested = false;
  /** The keeper is asked to give the memory up, because it will be wiped. */
  isDropping = false;
  /** The reason in the entry `VramDeallocated` that is written when the memory is freed; undefined if it was written. */
  unrecordedReason: string | undefined;
  /** The first export in progress. */
  exporting: Promise<void> | undefined;
  /** The repair in progress. */
  repair: Promise<void> | undefined;
  /** `source` as text. */
  readonly sourceText: string | null;
  /** Called after each transition that a client can see, with the keys of the phase before it. */
  onPhase: ((shard: Shard, before: PhaseKeys) => void) | undefined;
  #allocationId: string | undefined;
  #phase: Phase = { state: 'receiving' };
  #snapshot: ShardSnapshot | undefined;
  #leaseCount = 0;
  #isKept = false;
  #isZombie = false;

  constructor(identity: ShardIdentity, vramBytes: number, grant: MemoryGrant, options: ShardOptions = {}) {
    const { shardId, modelRef, shardIndex, totalShards } = identity;
    // The argument can be a whole request, which need not outlive the commit.
    this.identity = { shardId, modelRef, shardIndex, totalShards };
    this.vramBytes = vramBytes;
    this.grant = grant;
    this.source = options.source;
    this.sourceText = this.source === undefined ? null : textOf(this.source);
    this.exportable = options.exportable ?? false;
    this.#allocationId = options.allocationId;
  }

  /** The name of the memory for processes that attach it, and for the keeper. Most shards never need one. */
  get allocationId(): string {
    this.#allocationId ??= randomUUID();
    return this.#allocationId;
  }

  get memory(): DeviceMemory {
    return this.grant.memory;
  }

  get phase(): Phase {
    return this.#phase;
  }

  get state(): ShardState {
    return this.#phase.state;
  }

  /** The current seal. A corrupt shard still has one. */
  get seal(): Seal | undefined {
    return sealIn(this.#phase);
  }

  /** The key that signed the current seal, or the one that is about to take effect. */
  get kid(): string | undefined {
    return 'seal' in this.#phase ? this.#phase.seal?.kid : undefined;
  }

  /** How many leases other processes have. Only `Leases` calls it. */
  countLeases(step: 1 | -1): void {
    this.#leaseCount += step;
    this.#enter(this.#phase);
  }

  /** Whether a keeper holds the memory, so that the next process can take it over. */
  get isKept(): boolean {
    return this.#isKept;
  }

  setKept(isKept: boolean): void {
    if (this.#isKept === isKept) return;
    this.#isKept = isKept;
    this.#enter(this.#phase);
  }

  /** Whether the shard is released, and other processes still have the memory. */
  get isZombie(): boolean {
    return this.#isZombie;
  }

  /** Counts the memory as that of a zombie, or no more. */
  setZombie(isZombie: boolean): void {
    if (this.#isZombie === isZombie) return;
    this.#isZombie = isZombie;
    const { bytes } = this.grant.claim;
    this.memory.zombieBytes += isZombie ? bytes : -bytes;
    this.#enter(this.#phase);
  }

  /** The memory of a failed attempt is free, and the bytes will arrive again. */
  receiveAgain(): void {
    this.#require('receiveAgain');
    this.receivedBytes = 0;
    this.#enter({ state: 'receiving' });
  }

  /** All bytes arrived. */
  beginSealing(): void {
    this.#require('beginSealing');
    this.#enter({ state: 'sealing' });
  }

  /** The seal is in the audit log. Until it takes effect, its key is in use. */
  markIssued(seal: Seal): void {
    this.#require('markIssued');
    this.#enter({ state: 'sealing', seal });
  }

  markSealed(seal: Seal): void {
    this.#require('markSealed');
    this.#enter({ state: 'sealed', seal });
  }

  /** Replaces the handle of a sealed shard, after a key rotation or a first export. The rest of its seal stays. */
  replaceHandle({ handle, jti, kid, previous, exportedAtMs }: Seal): void {
    this.#require('replaceHandle');
    const { seal } = this.#sealed();
    this.#enter({ state: 'sealed', seal: { ...seal, handle, jti, kid, previous, exportedAtMs } });
  }

  /** A verification passed that read no byte before `verifiedAt`. */
  markVerified(verifiedAt: Moment): void {
    this.#require('markVerified');
    const { seal } = this.#sealed();
    this.#enter({ state: 'sealed', seal: { ...seal, verifiedAt } });
  }

  /** A verification found damage, or a repair left some. The seal stays: repair compares the bytes with it. */
  markCorrupt(ranges: readonly ByteRange[], repairStatus: string): void {
    this.#require('markCorrupt');
    const { seal } = this.#sealed();
    this.#enter({ state: 'corrupt', seal, ranges, repairStatus });
  }

  setRepairStatus(repairStatus: string): void {
    this.#require('setRepairStatus');
    if (this.#phase.state === 'corrupt') this.#enter({ ...this.#phase, repairStatus });
  }

  /** A repair restored the sealed bytes, and a new handle was signed. */
  markRepaired(seal: Seal): void {
    this.#require('markRepaired');
    this.#enter({ state: 'sealed', seal });
  }

  /** Wiping begins. `attempt` settles when it ended. A client cannot see a retry, so it is not reported as a change. */
  beginRelease(attempt: Promise<void>): void {
    this.#require('beginRelease');
    if (this.state === 'releasing') this.#phase = { state: 'releasing', attempt };
    else this.#enter({ state: 'releasing', attempt });
  }

  /** The driver refused to free the memory. */
  releaseFailed(): void {
    this.#require('releaseFailed');
    this.#phase = { state: 'releasing', attempt: null };
  }

  /** The same object until the shard changes, so that its JSON can be cached. */
  snapshot(): ShardSnapshot {
    if (this.#snapshot?.receivedBytes !== this.receivedBytes) this.#snapshot = this.#snapshotNow();
    return this.#snapshot;
  }

  #snapshotNow(): ShardSnapshot {
    const phase = this.#phase;
    const seal = sealIn(phase);
    const { shardId, modelRef, shardIndex, totalShards } = this.identity;
    return {
      shardId,
      modelRef,
      shardIndex,
      totalShards,
      gpuDevice: this.memory.gpuDevice,
      gpuUuid: this.memory.uuid,
      vramBytes: this.vramBytes,
      receivedBytes: this.receivedBytes,
      state: phase.state,
      digest: seal?.digest ?? null,
      treeDigest: seal?.treeDigest ?? null,
      sealedAtMs: seal?.sealedAtMs ?? null,
      lastVerifiedAtMs: seal?.verifiedAt.wallMs ?? null,
      exportable: this.exportable,
      exportedAtMs: seal?.exportedAtMs ?? null,
      leases: this.#leaseCount,
      kept: this.#isKept,
      source: this.sourceText,
      corruptRanges: phase.state === 'corrupt' ? phase.ranges : [],
    };
  }

  #enter(phase: Phase): void {
    const before = { state: this.state, kid: this.kid, seal: this.seal };
    this.#phase = phase;
    this.#snapshot = undefined;
    this.onPhase?.(this, before);
  }

  #require(transition: Transition): void {
    const from: readonly ShardState[] = shardTransitions[transition].from;
    if (from.includes(this.state)) return;
    throw new WorkerError('INTERNAL', `The shard cannot ${transition} while it is ${this.state}`);
  }

  #sealed(): { readonly seal: Seal } {
    if (this.#phase.state === 'sealed' || this.#phase.state === 'corrupt') return this.#phase;
    throw new WorkerError('INTERNAL', `The shard has no seal while it is ${this.state}`);
  }
}
