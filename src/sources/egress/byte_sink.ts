/** Takes the bytes of a transfer in order. `Ingest` has this form. */
export interface ByteSink {
  /** Takes a chunk. If it returns a promise, the next chunk must wait for it. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /** Aborts, with the reason, if the sink takes no more bytes. */
  readonly signal?: AbortSignal | undefined;
}
