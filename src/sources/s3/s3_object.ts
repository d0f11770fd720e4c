import type { ByteSink } from '../egress/byte_sink.js';
import { parseContentRange } from '../egress/content_range.js';
import { changed, invalid, SourceFault } from '../egress/fault.js';
import type { ByteRange, ObjectVersion } from '../egress/range_response.js';
import { transferRange } from '../egress/ranged_transfer.js';
import type { TransferOptions } from '../egress/request.js';
import type { ResponseHead } from '../egress/response_head.js';
import type { ModelFileEntry } from '../model.js';
import type { DigestClaim, RangedSource } from '../ranged_source.js';
import type { S3Reference } from '../reference.js';
import type { Bucket } from './bucket.js';
import { claimOf } from './claim.js';

/** The version of every object that was written while the bucket had no versions. A later write replaces it. */
const nullVersion = 'null';

/** One version of an object. */
export class S3Object implements RangedSource {
  readonly key: string;
  readonly claim: DigestClaim | undefined;
  readonly etag: string;
  /** The version that every range names; undefined if the bucket has no versions. */
  readonly versionId: string | undefined;
  readonly supportsRanges = true;
  readonly #bucket: Bucket;
  readonly #version: ObjectVersion;

  private constructor(bucket: Bucket, key: string, head: ResponseHead) {
    head.requirePlainBody();
    this.#bucket = bucket;
    this.key = key;
    this.claim = claimOf(head);
    this.etag = etagOf(head);
    this.versionId = head.get('x-amz-version-id');
    this.#version = { totalBytes: totalOf(head), etag: this.etag, lastModified: undefined };
  }

  /**
   * Learns the length, the version and the claimed digest of an object. Reads no byte of it.
   * @throws WorkerError INVALID_PARAMS, and every SOURCE_ code
   */
  static async open(
    bucket: Bucket,
    { key, versionId }: { readonly key: string; readonly versionId?: string | undefined },
    options: TransferOptions,
  ): Promise<S3Object> {
    const head = await headOf(bucket, { key, versionId }, options);
    const found = head.get('x-amz-version-id');
    // The objects of a bucket without versions have the version null, and no header that says so.
    if (versionId !== undefined && (found ?? nullVersion) !== versionId) {
      throw invalid('The source answered with another version of the object, or does not support versions');
    }
    return new S3Object(bucket, key, head);
  }

  get totalBytes(): number {
    return this.#version.totalBytes;
  }

  /** Whether the version always has the same bytes. */
  get isImmutable(): boolean {
    return this.versionId !== undefined && this.versionId !== nullVersion;
  }

  /** The text form has no name of a source. */
  get reference(): S3Reference {
    const version = this.versionId === undefined ? {} : { version_id: this.versionId };
    return { type: 's3', bucket: this.#bucket.name, key: this.key, ...version };
  }

  /** The object as a file of a model. Its version is known, so opening it asks the source nothing. */
  entry(path: string): ModelFileEntry {
    const pinned = { ...this.reference, name: this.#bucket.source };
    return { path, bytes: this.totalBytes, claim: this.claim, pinned, open: async () => this };
  }

  copyTo(sink: ByteSink, range: ByteRange, options: TransferOptions): Promise<void> {
    const { versionId } = this;
    const request = this.#bucket.request({
      key: this.key,
      query: { versionId },
      headers: { 'If-Match': this.etag },
      onSuccess: (head) => {
        if (head.get('x-amz-version-id') !== versionId) throw changed('The version of the object has changed');
      },
    });
    const object = { version: this.#version, request: () => request };
    return transferRange(this.#bucket.egress, { object, range }, sink, options);
  }

  close(): void {}
}

/** The head of an object. A refusal of HEAD has no body, so the same question by GET then learns its cause. */
async function headOf(
  bucket: Bucket,
  { key, versionId }: { readonly key: string; readonly versionId: string | undefined },
  options: TransferOptions,
): Promise<ResponseHead> {
  const headers = { 'X-Amz-Checksum-Mode': 'ENABLED' };
  const question = { key, query: { versionId } };
  try {
    return (await bucket.egress.head(bucket.request({ ...question, method: 'HEAD', headers }), options)).head;
  } catch (error) {
    if (!(error instanceof SourceFault) || !refusals.has(error.code)) throw error;
    const request = bucket.request({ ...question, headers: { ...headers, Range: 'bytes=0-0' } });
    return (await bucket.egress.head(request, options)).head;
  }
}

const refusals: ReadonlySet<string> = new Set(['SOURCE_AUTH_FAILED', 'SOURCE_NOT_FOUND', 'SOURCE_INVALID']);

/** Every range names the tag, so that S3 itself refuses a replaced object. @throws SOURCE_INVALID */
function etagOf({ strongEtag }: ResponseHead): string {
  if (strongEtag !== undefined && /^[\u0021-\u007e]+$/.test(strongEtag)) return strongEtag;
  throw invalid('The source sent no strong entity tag');
}

/** @throws SOURCE_INVALID, SOURCE_UNSUPPORTED */
function totalOf(head: ResponseHead): number {
  const bytes = head.status === 206 ? parseContentRange(head.get('content-range'))?.totalBytes : head.contentLength;
  if (bytes === undefined) throw invalid('The source does not state the length of the object');
  if (bytes === 0) throw new SourceFault('SOURCE_UNSUPPORTED', 'The object at the source is empty');
  return bytes;
}
