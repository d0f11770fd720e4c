import type { Digest } from '../../seal/digest.js';
import type { Expectation } from '../../seal/handle.js';
import type { Allocation } from '../../vram/allocation.js';
import type { ScrubThrottle } from '../integrity/throttle.js';
import type { DeviceMemory } from './device_memory.js';
import type { ByteRange, ShardIdentity, ShardSnapshot, ShardState, VerifyReport } from './snapshot.js';

/** What was proven of a shard's bytes when they were sealed. */
export interface Proof {
  readonly digest: Digest | null;
  readonly treeDigest: Digest;
  /** One hash per 512 KiB, so that a failed verification can say where. */
  readonly groupHashes: Buffer;
  /** What the client held the bytes to. */
  readonly expected: Expectation;
}

/** A handle that was signed with a key of before, and stands beside the current one for a while. */
export interface PreviousHandle {
  readonly handle: string;
  /** By the clock that never steps. */
  readonly expiresAtMs: number;
}

/** What was sealed: fixed but for the time of the last verification. */
export interface Seal extends Proof {
  readonly handle: string;
  readonly jti: string;
  /** The key that the handle is signed with. */
  readonly kid: string;
  readonly previous: readonly PreviousHandle[];
  readonly sealedAtMs: number;
  lastVerifiedAtMs: number;
  /** The same moment by the clock that never steps. */
  lastVerifiedMonotonicMs: number;
}

/** A file below the model directory that a shard came from. */
export interface FileSource {
  readonly path: string;
}

/** Where a shard is in its life; `outlook` says what becomes of a corrupt one. */
type Phase =
  | { readonly state: 'receiving' | 'sealing' }
  | { readonly state: 'sealed'; readonly seal: Seal }
  | {
      readonly state: 'corrupt';
      readonly seal: Seal;
      readonly ranges: readonly ByteRange[];
      readonly repairStatus: string;
    }
  | { readonly state: 'releasing'; readonly attempt: Promise<void> | null };

/** One shard of this worker while it lives here: what it is, where it lies, and what is being done to it. */
export class Shard {
  readonly identity: ShardIdentity;
  readonly vramBytes: number;
  readonly memory: DeviceMemory;
  receivedBytes = 0;
  allocation: Allocation | undefined;
  /** Where its bytes can be had once more; undefined for an upload. */
  readonly source: FileSource | undefined;
  /** The verification under way, which later ones join; its pace where it is the scrubber's. */
  verification: Promise<VerifyReport> | undefined;
  scrub: ScrubThrottle | undefined;
  /** The repair under way. */
  repair: Promise<void> | undefined;
  phase: Phase = { state: 'receiving' };

  #returnMemory: (() => void) | undefined;

  /** `returnMemory` frees the accounts once the memory is the device's again. */
  constructor(
    identity: ShardIdentity,
    vramBytes: number,
    memory: DeviceMemory,
    returnMemory: () => void,
    source?: FileSource,
  ) {
    this.identity = identity;
    this.vramBytes = vramBytes;
    this.memory = memory;
    this.#returnMemory = returnMemory;
    this.source = source;
  }

  /** The memory is the device's again. Counts once, however often it is said. */
  returnMemory(): void {
    this.#returnMemory?.();
    this.#returnMemory = undefined;
  }

  get state(): ShardState {
    return this.phase.state;
  }

  /** The seal that stands, also where verification found the bytes damaged. */
  get seal(): Seal | undefined {
    return this.phase.state === 'sealed' || this.phase.state === 'corrupt' ? this.phase.seal : undefined;
  }

  snapshot(): ShardSnapshot {
    const seal = this.seal;
    return {
      ...this.identity,
      gpuDevice: this.memory.gpuDevice,
      gpuUuid: this.memory.uuid,
      vramBytes: this.vramBytes,
      receivedBytes: this.receivedBytes,
      state: this.state,
      digest: seal?.digest ?? null,
      treeDigest: seal?.treeDigest ?? null,
      sealedAtMs: seal?.sealedAtMs ?? null,
      lastVerifiedAtMs: seal?.lastVerifiedAtMs ?? null,
      corruptRanges: this.phase.state === 'corrupt' ? this.phase.ranges : [],
    };
  }
}
