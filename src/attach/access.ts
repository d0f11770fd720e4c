import { WorkerError } from '../errors.js';
import { TokenCheck } from '../ipc/token.js';
import type { PeerCredentials } from '../vram/peer_process.js';

export interface AccessOptions {
  /** The users that may attach; by default this process's user and the members of the group. */
  readonly uids: readonly number[] | undefined;
  readonly group: number | undefined;
  /** The token that each process must send; undefined if it needs none. Not kept. */
  readonly token: Uint8Array | undefined;
}

/** Who may attach shards. */
export class Access {
  readonly #uids: readonly number[] | undefined;
  readonly #group: number | undefined;
  #token: TokenCheck | undefined;

  constructor({ uids, group, token }: AccessOptions) {
    this.#uids = uids;
    this.#group = group;
    this.#token = token && new TokenCheck(token);
  }

  /** `groups` are the supplementary groups of the process. @throws WorkerError FORBIDDEN */
  requireUser({ uid, gid }: PeerCredentials, groups: () => readonly number[]): void {
    if (this.#uids !== undefined ? this.#uids.includes(uid) : uid === process.geteuid?.()) return;
    const group = this.#group;
    if (this.#uids === undefined && group !== undefined && (gid === group || groups().includes(group))) return;
    throw new WorkerError('FORBIDDEN', `User ${uid} may not attach shards`);
  }

  /** @throws WorkerError AUTH_FAILED */
  requireToken(token: string | undefined): void {
    this.#token?.require(token);
  }

  /** Replaces the token. Open connections stay. Returns whether it changed. */
  replaceToken(token: Uint8Array): boolean {
    if (this.#token !== undefined) return this.#token.replace(token);
    this.#token = new TokenCheck(token);
    return true;
  }
}
