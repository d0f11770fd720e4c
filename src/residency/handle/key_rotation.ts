import type { PublicJwk } from '../../seal/jwk.js';
import { sealKeyOf } from '../../seal/key.js';
import type { PreviousHandle, Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { reissueHandle } from './issue.js';

/** The seal key of a running worker: how another takes its place, and what becomes of the handles of the one before. */
export class KeyRotation {
  readonly #inventory: WorkerState;

  constructor(inventory: WorkerState) {
    this.#inventory = inventory;
  }

  /**
   * Signs with the key of these bytes from here on, and gives every sealed shard a handle of it. Those of before stay
   * valid, and their key verifies, for the grace that the options name. False where it is the key that signs already.
   * @throws WorkerError AUDIT_UNAVAILABLE, TypeError for bytes that are no key; then nothing has changed
   */
  rotate(secret: Uint8Array): boolean {
    const { audit, options, signer } = this.#inventory;
    const key = sealKeyOf(options.sealAlgorithm, secret, options.workerId);
    const { kid } = signer.key;
    if (key.kid === kid) return false;
    const { keyGraceSeconds } = options;
    audit.appendRequired('SealKeyRotated', 'warning', {
      kid: key.kid,
      previous_kid: kid,
      grace_seconds: keyGraceSeconds,
    });
    signer.keys.rotate(key, performance.now() + keyGraceSeconds * 1000, this.#inUse());
    this.#inventory.bumpRevision();
    this.#reissue();
    return true;
  }

  /** The public keys that handles verify with now; none where whoever verifies could also sign. */
  published(): PublicJwk[] {
    return this.#inventory.signer.keys.published();
  }

  /** To be called now and then: signs anew what could not be before, and forgets keys whose time has passed. */
  tick(): void {
    this.#reissue();
    this.#inventory.signer.keys.dropExpired(this.#inUse());
  }

  /** Overwrites the keys: the process is about to end. */
  wipe(): void {
    this.#inventory.signer.keys.wipe();
  }

  /** Whether a key is one that a shard's handle is signed with, also a corrupt one's. */
  #inUse(): (kid: string) => boolean {
    const inUse = new Set(this.#inventory.shards.all().map(({ seal }) => seal?.kid));
    return (kid) => inUse.has(kid);
  }

  /** New handles for the sealed shards whose handle is of another key. */
  #reissue(): void {
    const { shards, signer } = this.#inventory;
    for (const record of shards.all()) {
      if (record.phase.state !== 'sealed' || record.phase.seal.kid === signer.key.kid) continue;
      try {
        reissueHandle(record, this.#inventory, this.#former(record));
      } catch {
        // What can't be written down does not happen: the old handle stands, and the next sweep tries again.
        return;
      }
    }
  }

  #former({ seal }: Shard): readonly PreviousHandle[] {
    if (seal === undefined) return [];
    const last = { handle: seal.handle, expiresAtMs: this.#inventory.signer.keys.expiresAtMs(seal.kid) };
    return [last, ...seal.previous].filter(({ expiresAtMs }) => performance.now() < expiresAtMs);
  }
}
