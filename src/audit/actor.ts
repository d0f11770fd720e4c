/** Who asked for something, and with which request: what the audit log says of every effect. */
export interface Actor {
  /** The role and fingerprint of the token that acted, `operator:1f2e3d4c5b6a7988`, or one of the words below. */
  readonly name: string;
  /** Null where no request asked for it. */
  readonly requestId: string | null;
}

/** What the worker does by itself. */
export const systemActor: Actor = { name: 'worker', requestId: null };
