import { WorkerError } from '../errors.js';

/** What a client sees of an upload. */
export interface UploadStatus {
  readonly uploadId: string;
  readonly offset: number;
  readonly totalBytes: number;
  /** When the worker ends or forgets the upload, if its client sends nothing from now on. */
  readonly expiresAtMs: number;
  /** The shard, once it is sealed. */
  readonly sealedShardId: string | undefined;
}

/**
 * Checks that bytes continue an upload. `bytes` is undefined if their number is unknown.
 * @throws WorkerError UPLOAD_OFFSET, LENGTH_MISMATCH
 */
export function requireBytes({ offset, totalBytes }: UploadStatus, from: number, bytes: number | undefined): void {
  if (from !== offset) {
    throw new WorkerError('UPLOAD_OFFSET', `Upload-Offset is ${from}, but the upload is at ${offset}`);
  }
  const left = totalBytes - offset;
  if (bytes !== undefined && bytes > left) {
    throw new WorkerError('LENGTH_MISMATCH', `The body has ${bytes} bytes, but the upload needs only ${left} more`);
  }
}
