import type { PublicJwk } from '../../seal/jwk.js';
import { sealKeyOf } from '../../seal/key.js';
import type { FormerHandle, ShardRecord } from '../state/shard.js';
import type { Inventory } from '../state/worker_state.js';
import { reseal } from './issue.js';

/** The seal key of a running worker: how another takes its place, and what becomes of the handles of the one before. */
export class Rotation {
  readonly #inventory: Inventory;

  constructor(inventory: Inventory) {
    this.#inventory = inventory;
  }

  /**
   * Signs with the key of these bytes from here on, and gives every sealed shard a handle of it. Those of before stay
   * valid, and their key verifies, for the grace that the options name. False where it is the key that signs already.
   * @throws WorkerError AUDIT_UNAVAILABLE, TypeError for bytes that are no key; then nothing has changed
   */
  rotate(secret: Uint8Array): boolean {
    const { audit, options, worker } = this.#inventory;
    const key = sealKeyOf(options.sealAlgorithm, secret, options.workerId);
    const { kid } = worker.key;
    if (key.kid === kid) return false;
    const { keyGraceSeconds } = options;
    audit.append('SealKeyRotated', 'warning', { kid: key.kid, previous_kid: kid, grace_seconds: keyGraceSeconds });
    worker.keys.rotate(key, performance.now() + keyGraceSeconds * 1000, this.#inUse());
    this.#inventory.changed();
    this.#reissue();
    return true;
  }

  /** The public keys that handles verify with now; none where whoever verifies could also sign. */
  published(): PublicJwk[] {
    return this.#inventory.worker.keys.published();
  }

  /** To be called now and then: signs anew what could not be before, and forgets keys whose time has passed. */
  sweep(): void {
    this.#reissue();
    this.#inventory.worker.keys.sweep(this.#inUse());
  }

  /** Overwrites the keys: the process is about to end. */
  wipe(): void {
    this.#inventory.worker.keys.wipe();
  }

  /** Whether a key is one that a shard's handle is signed with, also a corrupt one's. */
  #inUse(): (kid: string) => boolean {
    const inUse = new Set(this.#inventory.shards.all().map(({ seal }) => seal?.kid));
    return (kid) => inUse.has(kid);
  }

  /** New handles for the sealed shards whose handle is of another key. */
  #reissue(): void {
    const { shards, worker } = this.#inventory;
    for (const record of shards.all()) {
      if (record.phase.state !== 'sealed' || record.phase.seal.kid === worker.key.kid) continue;
      try {
        reseal(record, this.#inventory, this.#former(record));
      } catch {
        // What can't be written down does not happen: the old handle stands, and the next sweep tries again.
        return;
      }
    }
  }

  #former({ seal }: ShardRecord): readonly FormerHandle[] {
    if (seal === undefined) return [];
    const last = { handle: seal.handle, untilMs: this.#inventory.worker.keys.untilMs(seal.kid) };
    return [last, ...seal.former].filter(({ untilMs }) => performance.now() < untilMs);
  }
}
