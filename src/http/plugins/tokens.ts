import { hash, timingSafeEqual } from 'node:crypto';

/** The permissions of a token: everything, or read-only. */
export type Role = 'operator' | 'reader';

export interface Token {
  readonly token: Uint8Array;
  readonly role: Role;
}

interface TokenDigest {
  readonly digest: Buffer;
  readonly role: Role;
}

/** The SHA-256 of a token, which the worker keeps instead of the token. */
export const digestOfToken = (token: Uint8Array | string): Buffer => hash('sha256', token, 'buffer');

/** The tokens that are valid now. It keeps only their SHA-256 digests. */
export class Tokens {
  #current: readonly TokenDigest[];
  #version = 0;

  constructor(tokens: readonly Token[]) {
    this.#current = digestsOf(tokens);
  }

  /** Grows when the tokens are replaced. */
  get version(): number {
    return this.#version;
  }

  /** The role of the token with this digest, if it is valid. Takes constant time: it compares with every token. */
  roleOf(digest: Buffer): Role | undefined {
    return this.#current.reduce<Role | undefined>(
      (found, one) => (timingSafeEqual(one.digest, digest) ? one.role : found),
      undefined,
    );
  }

  /** Replaces all tokens; previous ones become invalid. Returns the roles whose token changed. */
  replace(tokens: readonly Token[]): readonly Role[] {
    const previous = this.#current;
    this.#current = digestsOf(tokens);
    this.#version++;
    const isNew = ({ digest }: TokenDigest): boolean => !previous.some((one) => one.digest.equals(digest));
    return this.#current.filter(isNew).map(({ role }) => role);
  }
}

/** The tokens of a configuration. */
export function tokensOf(config: { apiToken: Uint8Array; readToken?: Uint8Array | undefined }): Token[] {
  const { apiToken, readToken } = config;
  return [
    { token: apiToken, role: 'operator' },
    ...(readToken === undefined ? [] : [{ token: readToken, role: 'reader' as const }]),
  ];
}

const digestsOf = (tokens: readonly Token[]): TokenDigest[] =>
  tokens.map(({ token, role }) => ({ digest: digestOfToken(token), role }));
