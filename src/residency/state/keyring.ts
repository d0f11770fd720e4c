import { jwkOf, type PublicJwk } from '../../seal/jwk.js';
import { type SealKey, wipeKey } from '../../seal/key.js';

interface PreviousKey {
  readonly key: SealKey;
  /** By the clock that never steps. */
  readonly expiresAtMs: number;
}

/** So many keys of before verify what others bring, whatever the grace: a file that flaps must not fill the memory. */
const maxPreviousKeys = 8;

/** The key that signs, and those that signed before and still verify for a while. */
export class Keyring {
  #current: SealKey;
  #former: readonly PreviousKey[] = [];

  constructor(key: SealKey) {
    this.#current = key;
  }

  get current(): SealKey {
    return this.#current;
  }

  /** The key of this name, if it still verifies what others bring. */
  readonly find = (kid: string): SealKey | undefined =>
    kid === this.#current.kid ? this.#current : this.#valid().find(({ key }) => key.kid === kid)?.key;

  /** The key of this name, also one that is kept for a handle of ours alone. */
  readonly own = (kid: string): SealKey | undefined =>
    kid === this.#current.kid ? this.#current : this.#former.find(({ key }) => key.kid === kid)?.key;

  /** Until when the key of this name verifies, by `performance.now()`; 0 where it does not. */
  expiresAtMs(kid: string): number {
    return this.#former.find(({ key }) => key.kid === kid)?.expiresAtMs ?? 0;
  }

  /**
   * Signs with another key from here on; the one before it verifies until `expiresAtMs` of `performance.now()`. Of too many
   * the oldest verify nothing any more, but for handles of ours that are still signed with them.
   */
  rotate(next: SealKey, expiresAtMs: number, inUse: (kid: string) => boolean): void {
    const former = [{ key: this.#current, expiresAtMs }, ...this.#former.filter(({ key }) => key.kid !== next.kid)];
    const oldest = former.slice(maxPreviousKeys).filter(({ key }) => inUse(key.kid));
    this.#current = next;
    this.#keep([...former.slice(0, maxPreviousKeys), ...oldest.map(({ key }) => ({ key, expiresAtMs: 0 }))]);
  }

  /** Forgets the keys whose time has passed, but for those that a handle of ours is still signed with. */
  dropExpired(inUse: (kid: string) => boolean): void {
    const nowMs = performance.now();
    this.#keep(this.#former.filter(({ key, expiresAtMs }) => nowMs < expiresAtMs || inUse(key.kid)));
  }

  /** What verifiers who must not be able to sign may have; nothing of a key that signs as it verifies. */
  published(): PublicJwk[] {
    const keys = [this.#current, ...this.#valid().map(({ key }) => key)];
    return keys.flatMap((key) => (key.alg === 'EdDSA' ? [jwkOf(key)] : []));
  }

  /** Overwrites all keys. Nothing can be signed or verified afterwards. */
  wipe(): void {
    for (const key of [this.#current, ...this.#former.map((former) => former.key)]) wipeKey(key);
  }

  #valid(): readonly PreviousKey[] {
    const nowMs = performance.now();
    return this.#former.filter(({ expiresAtMs }) => nowMs < expiresAtMs);
  }

  #keep(former: readonly PreviousKey[]): void {
    for (const gone of this.#former) if (!former.some(({ key }) => key === gone.key)) wipeKey(gone.key);
    this.#former = former;
  }
}
