import type { ByteRange } from './range_response.js';

/** An open file of this host, as native calls read it. The layer that implements `LocalFiles` makes it. */
export interface HostFile {
  readonly handle: number;
  /** Runs a native call that reads the file, and explains its failure. */
  read(call: () => Promise<void>): Promise<void>;
  /** Resolves when no call of the file system is in progress. */
  settled(): Promise<void>;
}

/** Takes the bytes of a transfer in order. `Ingest` has this form. */
export interface ByteSink {
  /** Takes a chunk. If it returns a promise, the next chunk must wait for it. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /**
   * Reads at most `maxBytes` from a connected socket, natively, while bytes keep arriving. Resolves with their number:
   * 0 if none came or the connection ended. Not called over TLS, for chunked bodies, or with a bandwidth limit.
   */
  receive?(descriptor: number, maxBytes: number): Promise<number>;
  /** Reads a range of a local file natively, in place of `write`. Only local files call it. */
  file?(file: HostFile, range: ByteRange): Promise<void>;
  /** Aborts, with the reason, if the sink takes no more bytes. */
  readonly signal?: AbortSignal | undefined;
}
