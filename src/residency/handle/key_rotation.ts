import { setImmediate as nextTurn } from 'node:timers/promises';
import { outcomeOf } from '../../errors.js';
import { Sequence } from '../../runtime/sequence.js';
import type { PublicJwk } from '../../seal/jwk.js';
import { type SealKey, sealKeyOf, wipeKey } from '../../seal/key.js';
import type { PreviousHandle } from '../state/seal.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { reissueHandle } from './issue.js';

/** Handles that are signed in one turn of the event loop: a few milliseconds. */
const chunkShards = 128;

/** Rotates the seal key of a running worker, and reissues the handles that the previous key signed. */
export class KeyRotation {
  readonly #worker: WorkerState;
  readonly #rotations = new Sequence();
  readonly #reissues = new Sequence();

  constructor(worker: WorkerState) {
    this.#worker = worker;
  }

  /**
   * Signs with the key made from `secret` from now on, and reissues the handle of every sealed shard. The previous key
   * and its handles stay valid for `keyGraceSeconds`. Returns false if this is already the current key. The caller may wipe
   * `secret` as soon as this returns its promise.
   * @throws WorkerError AUDIT_UNAVAILABLE, TypeError if `secret` is not a key; then nothing changes
   */
  async rotate(secret: Uint8Array): Promise<boolean> {
    const { sealAlgorithm, workerId } = this.#worker.options;
    const key = sealKeyOf(sealAlgorithm, secret, workerId);
    return this.#rotations.run(async () => {
      try {
        return await this.#rotate(key);
      } finally {
        if (this.#worker.signer.key !== key) wipeKey(key);
      }
    });
  }

  /** The public keys that handles verify with now. Empty for HS256, whose key can also sign. */
  published(): PublicJwk[] {
    return this.#worker.signer.keyring.published();
  }

  /** Reissues handles that could not be reissued before, and drops expired keys. Called periodically. Never rejects. */
  async tick(): Promise<void> {
    await this.#reissueAll();
    this.#worker.signer.keyring.dropExpired(this.#worker.shards.isKeyInUse);
  }

  /** Overwrites the keys. Called when the process ends. */
  wipe(): void {
    this.#worker.signer.keyring.wipe();
  }

  async #rotate(key: SealKey): Promise<boolean> {
    const { audit, options, signer, lifecycle } = this.#worker;
    const { kid } = signer.key;
    if (key.kid === kid) return false;
    const { keyGraceSeconds } = options;
    const fields = { kid: key.kid, previous_kid: kid, grace_seconds: keyGraceSeconds };
    await audit.appendRequired('SealKeyRotated', 'warning', fields);
    signer.keyring.rotate(key, performance.now() + keyGraceSeconds * 1000, this.#worker.shards.isKeyInUse);
    lifecycle.bumpRevision();
    await this.#reissueAll();
    return true;
  }

  /** Reissues the handles of sealed shards that another key signed. Concurrent calls follow each other. Never rejects. */
  #reissueAll(): Promise<void> {
    return this.#reissues.run(() => this.#reissueChunks());
  }

  /** The entries of a chunk share one sync. Between chunks, the event loop does other work. */
  async #reissueChunks(): Promise<void> {
    const { shards, signer } = this.#worker;
    const isStale = ({ phase, releaseRequested }: Shard) =>
      phase.state === 'sealed' && phase.seal.kid !== signer.key.kid && !releaseRequested;
    const stale = shards.signedByOthers(signer.key.kid);
    while (stale.length > 0) {
      const chunk = stale.splice(0, chunkShards).filter(isStale);
      const reissued = chunk.map((shard) =>
        reissueHandle(shard, this.#worker, { previous: this.#previousHandles(shard) }),
      );
      const results = await Promise.allSettled(reissued);
      // If the audit log cannot be written, the old handles stay current, and the next tick tries again.
      if (results.some(isUnavailable)) return;
      await nextTurn();
    }
  }

  #previousHandles({ seal }: Shard): readonly PreviousHandle[] {
    if (seal === undefined) return [];
    const last = { handle: seal.handle, expiresAtMs: this.#worker.signer.keyring.expiresAtMs(seal.kid) };
    return [last, ...seal.previous].filter(({ expiresAtMs }) => performance.now() < expiresAtMs);
  }
}

const isUnavailable = (result: PromiseSettledResult<void>): boolean =>
  result.status === 'rejected' && outcomeOf(result.reason) === 'AUDIT_UNAVAILABLE';
