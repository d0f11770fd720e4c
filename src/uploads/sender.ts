/** Takes the bytes of one request. */
export interface UploadSink {
  /** Takes a chunk. If it returns a promise, the next chunk must wait for it. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /** Reads from a connected socket natively while bytes keep arriving. Returns how many were read. */
  receive(descriptor: number, maxBytes: number): Promise<number>;
  /** Aborts, with the reason, if the sink takes no more bytes. */
  readonly signal: AbortSignal;
  /** Whether other commits wait for a slot. */
  readonly othersWait: boolean;
}

/** A request that brings bytes. */
export interface Sender {
  /** The length of its body; undefined if the body says where it ends. */
  readonly bytes: number | undefined;
  /** Aborts if the client disconnects or stalls before `send` is called. */
  readonly signal: AbortSignal;
  /** Moves at most `maxBytes` bytes of the body into the sink. Rejects if the client disconnects or stalls. */
  send(sink: UploadSink, maxBytes: number): Promise<void>;
  /** Closes the connection. */
  close(): void;
}
