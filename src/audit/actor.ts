/** The originator of an action, as an audit entry records it. */
export interface Actor {
  /** A token's role and fingerprint (`operator:1f2e3d4c5b6a7988`), `unauthenticated`, or `worker`. */
  readonly name: string;
  /** The id of the HTTP request; null if no request caused the action. */
  readonly requestId: string | null;
}

/** The actor of background actions: scrub, repair, restore, key rotation. */
export const systemActor: Actor = { name: 'worker', requestId: null };
