import { WorkerError } from '../../errors.js';
import type { Digest } from '../../seal/digest.js';
import type { ByteSink } from '../egress/byte_sink.js';
import type { ByteRange } from '../egress/range_response.js';
import type { TransferOptions } from '../egress/request.js';
import type { LocalFiles, LocalSource } from '../local_files.js';
import type { DigestClaim } from '../ranged_source.js';

/** A blob of the cache. */
export interface CachedBlob {
  /** The path in the snapshot. */
  readonly path: string;
  /** The path of the blob, relative to the cache. */
  readonly blobPath: string;
  /** The name of the blob if it is a SHA-256. */
  readonly digest: Digest | undefined;
  /** The name of the blob if it is the id of a Git object. */
  readonly gitOid: string;
}

/** An open blob. Its name is the claim that its bytes are held to. */
export class CachedFile implements LocalSource {
  readonly claim: DigestClaim | undefined;
  readonly #file: LocalSource;
  readonly #blob: CachedBlob;

  constructor(file: LocalSource, blob: CachedBlob) {
    this.#file = file;
    this.#blob = blob;
    this.claim = blob.digest && { digest: blob.digest, from: 'cache' };
  }

  /** Opens a blob. @throws WorkerError SOURCE_NOT_FOUND if it was removed, and others of `LocalFiles` */
  static async open(files: LocalFiles, blob: CachedBlob, signal: AbortSignal): Promise<CachedFile> {
    try {
      return new CachedFile(await files.open('hf_cache', blob.blobPath, signal), blob);
    } catch (error) {
      throw absentAs(error, `The cache no longer has the content of ${blob.path}`);
    }
  }

  get totalBytes(): number {
    return this.#file.totalBytes;
  }

  get etag(): string | undefined {
    return this.#file.etag;
  }

  get supportsRanges(): boolean {
    return this.#file.supportsRanges;
  }

  get maxTransfers(): number | undefined {
    return this.#file.maxTransfers;
  }

  copyTo(sink: ByteSink, range: ByteRange, options: TransferOptions): Promise<void> {
    return this.#file.copyTo(sink, range, options);
  }

  async reopen(signal: AbortSignal): Promise<CachedFile> {
    return new CachedFile(await this.#file.reopen(signal), this.#blob);
  }

  close(): void {
    this.#file.close();
  }
}

/** Words for a file that does not exist. Other errors stay as they are. */
export function absentAs(error: unknown, message: string): unknown {
  const isAbsent = error instanceof WorkerError && error.code === 'NOT_FOUND';
  return isAbsent ? new WorkerError('SOURCE_NOT_FOUND', message, { cause: error }) : error;
}
