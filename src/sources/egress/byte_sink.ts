/** Takes the bytes of a transfer in order. `Ingest` has this form. */
export interface ByteSink {
  /** Takes a chunk. If it returns a promise, the next chunk must wait for it. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /**
   * Reads at most `maxBytes` from a connected socket, natively, while bytes keep arriving. Resolves with their number:
   * 0 if none came or the connection ended. Not called over TLS, for chunked bodies, or with a bandwidth limit.
   */
  receive?(descriptor: number, maxBytes: number): Promise<number>;
  /** Aborts, with the reason, if the sink takes no more bytes. */
  readonly signal?: AbortSignal | undefined;
}
