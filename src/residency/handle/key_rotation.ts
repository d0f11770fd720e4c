import type { PublicJwk } from '../../seal/jwk.js';
import { sealKeyOf } from '../../seal/key.js';
import type { PreviousHandle, Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { reissueHandle } from './issue.js';

/** Rotates the seal key of a running worker, and reissues the handles that the previous key signed. */
export class KeyRotation {
  readonly #worker: WorkerState;

  constructor(worker: WorkerState) {
    this.#worker = worker;
  }

  /**
   * Signs with the key made from `secret` from now on, and reissues the handle of every sealed shard. The previous key
   * and its handles stay valid for `keyGraceSeconds`. Returns false if this is already the current key.
   * @throws WorkerError AUDIT_UNAVAILABLE, TypeError if `secret` is not a key; then nothing changes
   */
  rotate(secret: Uint8Array): boolean {
    const { audit, options, signer, lifecycle } = this.#worker;
    const key = sealKeyOf(options.sealAlgorithm, secret, options.workerId);
    const { kid } = signer.key;
    if (key.kid === kid) return false;
    const { keyGraceSeconds } = options;
    const fields = { kid: key.kid, previous_kid: kid, grace_seconds: keyGraceSeconds };
    audit.appendRequired('SealKeyRotated', 'warning', fields);
    signer.keyring.rotate(key, performance.now() + keyGraceSeconds * 1000, this.#inUse());
    lifecycle.bumpRevision();
    this.#reissueAll();
    return true;
  }

  /** The public keys that handles verify with now. Empty for HS256, whose key can also sign. */
  published(): PublicJwk[] {
    return this.#worker.signer.keyring.published();
  }

  /** Reissues handles that could not be reissued before, and drops expired keys. Called periodically. */
  tick(): void {
    this.#reissueAll();
    this.#worker.signer.keyring.dropExpired(this.#inUse());
  }

  /** Overwrites the keys. Called when the process ends. */
  wipe(): void {
    this.#worker.signer.keyring.wipe();
  }

  /** A predicate: whether a key signed the current handle of a shard, corrupt shards included. */
  #inUse(): (kid: string) => boolean {
    const inUse = new Set(this.#worker.shards.all().map(({ seal }) => seal?.kid));
    return (kid) => inUse.has(kid);
  }

  /** Reissues the handles of sealed shards that another key signed. */
  #reissueAll(): void {
    const { shards, signer } = this.#worker;
    for (const shard of shards.all()) {
      if (shard.phase.state !== 'sealed' || shard.phase.seal.kid === signer.key.kid) continue;
      try {
        reissueHandle(shard, this.#worker, this.#previousHandles(shard));
      } catch {
        // The audit log cannot be written: the old handle stays current, and the next tick tries again.
        return;
      }
    }
  }

  #previousHandles({ seal }: Shard): readonly PreviousHandle[] {
    if (seal === undefined) return [];
    const last = { handle: seal.handle, expiresAtMs: this.#worker.signer.keyring.expiresAtMs(seal.kid) };
    return [last, ...seal.previous].filter(({ expiresAtMs }) => performance.now() < expiresAtMs);
  }
}
