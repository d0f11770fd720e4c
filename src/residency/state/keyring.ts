import { jwkOf, type PublicJwk } from '../../seal/jwk.js';
import { type SealKey, wipeKey } from '../../seal/key.js';

interface PreviousKey {
  readonly key: SealKey;
  /** On the monotonic clock, `performance.now()`. */
  readonly expiresAtMs: number;
}

/** How many previous keys verify presented handles. A key file that changes often must not fill the memory. */
const maxPreviousKeys = 8;

/** The current signing key, and the previous keys that still verify. */
export class Keyring {
  #current: SealKey;
  #previous: readonly PreviousKey[] = [];

  constructor(key: SealKey) {
    this.#current = key;
  }

  get current(): SealKey {
    return this.#current;
  }

  /** The key with this id, if it still verifies handles that clients present. */
  readonly find = (kid: string): SealKey | undefined =>
    kid === this.#current.kid ? this.#current : this.#valid().find(({ key }) => key.kid === kid)?.key;

  /** The key with this id, including keys kept only because a current handle is signed with them. */
  readonly findOwn = (kid: string): SealKey | undefined =>
    kid === this.#current.kid ? this.#current : this.#previous.find(({ key }) => key.kid === kid)?.key;

  /** When the key with this id stops verifying, on the monotonic clock; 0 if it does not verify. */
  expiresAtMs(kid: string): number {
    return this.#previous.find(({ key }) => key.kid === kid)?.expiresAtMs ?? 0;
  }

  /**
   * Makes `next` the signing key. The current key verifies until `expiresAtMs` on the monotonic clock. If there are too
   * many previous keys, the oldest stop verifying; those that sign a current handle (`inUse`) are kept for `findOwn`.
   */
  rotate(next: SealKey, expiresAtMs: number, inUse: (kid: string) => boolean): void {
    const previous = [{ key: this.#current, expiresAtMs }, ...this.#previous.filter(({ key }) => key.kid !== next.kid)];
    const oldest = previous.slice(maxPreviousKeys).filter(({ key }) => inUse(key.kid));
    this.#current = next;
    this.#keep([...previous.slice(0, maxPreviousKeys), ...oldest.map(({ key }) => ({ key, expiresAtMs: 0 }))]);
  }

  /** Wipes expired keys, except those that signed a handle still in use. */
  dropExpired(inUse: (kid: string) => boolean): void {
    const nowMs = performance.now();
    this.#keep(this.#previous.filter(({ key, expiresAtMs }) => nowMs < expiresAtMs || inUse(key.kid)));
  }

  /** The public keys that verify now. Empty for HS256, whose key can also sign. */
  published(): PublicJwk[] {
    const keys = [this.#current, ...this.#valid().map(({ key }) => key)];
    return keys.flatMap((key) => (key.alg === 'EdDSA' ? [jwkOf(key)] : []));
  }

  /** Overwrites all keys. Nothing can be signed or verified afterwards. */
  wipe(): void {
    for (const key of [this.#current, ...this.#previous.map((previous) => previous.key)]) wipeKey(key);
  }

  #valid(): readonly PreviousKey[] {
    const nowMs = performance.now();
    return this.#previous.filter(({ expiresAtMs }) => nowMs < expiresAtMs);
  }

  #keep(kept: readonly PreviousKey[]): void {
    for (const previous of this.#previous) if (!kept.some(({ key }) => key === previous.key)) wipeKey(previous.key);
    this.#previous = kept;
  }
}
