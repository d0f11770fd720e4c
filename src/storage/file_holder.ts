/** A lock on the name of a file, and on each file that gets the name. It ends with the process. */
export interface FileHolder {
  /** Locks the name, unless it is locked. @throws Error if another process holds it, or the errors of open(2) */
  acquire(): Promise<unknown>;
  /** Locks an open file, unless it is locked. The lock remains when `descriptor` is closed. @throws as `acquire` does */
  hold(descriptor: number): Promise<void>;
}
