/** A commit in progress, as the worker sees it when it stops. Neither method rejects. */
export interface Abortable {
  /** Undoes the commit, unless the seal has taken effect. */
  abort(reason: unknown): Promise<void>;
  /** Undoes the commit, unless all bytes arrived: in that case it finishes. */
  stop(reason: unknown): Promise<void>;
}
