import { randomUUID } from 'node:crypto';
import type { ErrorCode } from '../../errors.js';
import { type DriverKind, type HandleClaims, signHandle } from '../../seal/handle.js';
import type { SealKey } from '../../seal/key.js';
import { Keyring } from './keyring.js';

/** starting: devices come up; loading: shards are restored; ready; draining: no new work; stopped. */
export type WorkerPhase = 'starting' | 'loading' | 'ready' | 'draining' | 'stopped';

export type { DriverKind };

/** Who attests: one worker process, from its start to its end. Memory dies with it, and so does `bootId`. */
export class Signer {
  readonly workerId: string;
  readonly bootId = randomUUID();
  readonly driver: DriverKind;
  readonly keys: Keyring;

  constructor(workerId: string, driver: DriverKind, key: SealKey) {
    this.workerId = workerId;
    this.driver = driver;
    this.keys = new Keyring(key);
  }

  /** The key that signs now. */
  get key(): SealKey {
    return this.keys.current;
  }

  /** False only where NVIDIA's own driver holds the memory. */
  get simulated(): boolean {
    return this.driver !== 'cuda';
  }

  /** Signs what is known of a shard, in this worker's name. */
  sign(claims: Omit<HandleClaims, 'iss' | 'boot_id' | 'driver' | 'simulated'>): string {
    const { workerId, bootId, driver, simulated, key } = this;
    return signHandle({ iss: workerId, boot_id: bootId, ...claims, driver, simulated }, key);
  }
}

/** One thing that stands in the way of being ready. */
export interface Reason {
  readonly code:
    | ErrorCode
    | 'NO_MODEL_READY'
    | 'MODEL_NOT_RESIDENT'
    | 'SHARD_CORRUPT'
    | 'SHARD_LOST'
    | 'VERIFICATION_FAILED'
    | 'LOADING'
    | 'STOPPED';
  readonly detail: string;
}

/** Told of what was done, for metrics. Durations in seconds. */
export interface ResidencyObserver {
  committed(outcome: ErrorCode | 'ok', bytes: number, seconds: number): void;
  verified(outcome: ErrorCode | 'ok', bytes: number, seconds: number): void;
  repaired(outcome: ErrorCode | 'ok'): void;
}

/** Told, and says nothing. */
export const silent: ResidencyObserver = {
  committed: () => undefined,
  verified: () => undefined,
  repaired: () => undefined,
};
