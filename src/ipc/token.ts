import { hash, timingSafeEqual } from 'node:crypto';
import { WorkerError } from '../errors.js';

/** A token that peers must send. Only its digest is kept. */
export class TokenCheck {
  #digest: Buffer;

  constructor(token: Uint8Array) {
    this.#digest = digestOf(token);
  }

  /** @throws WorkerError AUTH_FAILED */
  require(token: string | undefined): void {
    if (token !== undefined && timingSafeEqual(digestOf(Buffer.from(token)), this.#digest)) return;
    throw new WorkerError('AUTH_FAILED', token === undefined ? 'The token is missing' : 'The token is invalid');
  }

  /** Replaces the token. Open connections stay. Returns whether it changed. */
  replace(token: Uint8Array): boolean {
    const digest = digestOf(token);
    const isSame = this.#digest.equals(digest);
    this.#digest = digest;
    return !isSame;
  }
}

const digestOf = (token: Uint8Array): Buffer => hash('sha256', token, 'buffer');
