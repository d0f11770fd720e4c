import { randomUUID } from 'node:crypto';
import { type DriverKind, type HandleClaims, signHandle } from '../../seal/handle.js';
import type { SealKey } from '../../seal/key.js';
import { Keyring } from './keyring.js';

/** The claims of a handle that depend on the shard; the signer adds its own. */
export type ShardClaims = Omit<HandleClaims, 'iss' | 'boot_id' | 'driver' | 'simulated'>;

/** Signs in the name of one worker process. GPU memory ends with the process, so each process has its own `bootId`. */
export class Signer {
  readonly workerId: string;
  readonly bootId = randomUUID();
  /** As configured, until the driver is open. */
  driver: DriverKind;
  readonly keyring: Keyring;

  constructor(workerId: string, driver: DriverKind, key: SealKey) {
    this.workerId = workerId;
    this.driver = driver;
    this.keyring = new Keyring(key);
  }

  /** The current signing key. */
  get key(): SealKey {
    return this.keyring.current;
  }

  /** False only if NVIDIA's own driver holds the memory. */
  get simulated(): boolean {
    return this.driver !== 'cuda';
  }

  /** Signs a handle with the current key. */
  sign(claims: ShardClaims): string {
    const { workerId, bootId, driver, simulated, key } = this;
    return signHandle({ iss: workerId, boot_id: bootId, ...claims, driver, simulated }, key);
  }
}
