import { hash, timingSafeEqual } from 'node:crypto';

/** What a token may do: everything, or look only. */
export type Role = 'operator' | 'reader';

export interface Token {
  readonly token: Uint8Array;
  readonly role: Role;
}

interface Known {
  readonly digest: Buffer;
  readonly role: Role;
}

/** The digest by which a token is known here. */
export const digestOfToken = (token: Uint8Array | string): Buffer => hash('sha256', token, 'buffer');

/** The tokens that open the API now, as SHA-256 digests: the tokens themselves are not kept. */
export class Tokens {
  #known: readonly Known[];

  constructor(credentials: readonly Token[]) {
    this.#known = known(credentials);
  }

  /** What the token of this digest may do; undefined: nothing. Compares in constant time, with each that is known. */
  roleOf(digest: Buffer): Role | undefined {
    return this.#known.reduce<Role | undefined>(
      (found, one) => (timingSafeEqual(one.digest, digest) ? one.role : found),
      undefined,
    );
  }

  /** Other tokens from here on: those of before open nothing any more. Returns the roles whose token changed. */
  replace(credentials: readonly Token[]): readonly Role[] {
    const before = this.#known;
    this.#known = known(credentials);
    const isNew = ({ digest }: Known): boolean => !before.some((one) => one.digest.equals(digest));
    return this.#known.filter(isNew).map(({ role }) => role);
  }
}

/** The credentials that the worker's two tokens are. */
export function tokensOf(tokens: { apiToken: Uint8Array; readToken?: Uint8Array | undefined }): Token[] {
  const { apiToken, readToken } = tokens;
  return [
    { token: apiToken, role: 'operator' },
    ...(readToken === undefined ? [] : [{ token: readToken, role: 'reader' as const }]),
  ];
}

const known = (credentials: readonly Token[]): Known[] =>
  credentials.map(({ token, role }) => ({ digest: digestOfToken(token), role }));
