import { parseContentRange } from './content_range.js';
import { changed, invalid } from './fault.js';
import type { ResponseHead } from './response_head.js';

/** The object that a transfer reads: what was known when it began. */
export interface ObjectVersion {
  readonly totalBytes: number;
  /** A strong entity tag. Every response must have the same. */
  readonly etag: string | undefined;
  /** As the source wrote it. Compared if there is no strong tag. */
  readonly lastModified: string | undefined;
}

/** Bytes `offset` to `offset + length`, exclusive. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** The value of `Range` (RFC 9110) for a range. Its last byte is included. */
export const rangeHeader = ({ offset, length }: ByteRange): string => `bytes=${offset}-${offset + length - 1}`;

/**
 * Checks that a response of status 200 or 206 holds the requested range of the same version of the object: exactly that
 * range, or the whole object if the range begins at its start.
 * @throws SourceFault SOURCE_CHANGED, SOURCE_INVALID
 */
export function requireRange(head: ResponseHead, range: ByteRange, version: ObjectVersion): void {
  head.requirePlainBody();
  requireSameVersion(head, version);
  if (head.status === 206) requirePartial(head, range, version);
  else requireWhole(head, range, version);
}

/** A status 416 in the middle: the object is shorter now, or the source cannot continue. */
export function unsatisfiedRange(head: ResponseHead, { totalBytes }: ObjectVersion) {
  const total = parseContentRange(head.get('content-range'))?.totalBytes;
  if (total !== undefined && total !== totalBytes) return changed('The length of the object has changed');
  return invalid('The source refused a range of the object with status 416');
}

function requireSameVersion(head: ResponseHead, { etag, lastModified }: ObjectVersion): void {
  if (etag !== undefined) {
    if (head.strongEtag !== etag) throw changed('The entity tag of the object has changed');
    return;
  }
  if (lastModified !== undefined && head.get('last-modified') !== lastModified) {
    throw changed('The modification date of the object has changed');
  }
}

function requirePartial(head: ResponseHead, { offset, length }: ByteRange, { totalBytes }: ObjectVersion): void {
  const range = parseContentRange(head.get('content-range'));
  if (range === undefined) throw invalid('The source sent a partial response without a valid Content-Range');
  if (range.totalBytes !== totalBytes) {
    if (range.totalBytes === undefined) throw invalid('The source sent a Content-Range without the total length');
    throw changed('The length of the object has changed');
  }
  if (range.first !== offset || range.last !== offset + length - 1) {
    throw invalid('The source sent another range than the requested one');
  }
  requireLength(head, length);
}

/** The start of a whole response is the start of the object. */
function requireWhole(head: ResponseHead, { offset }: ByteRange, { totalBytes }: ObjectVersion): void {
  if (offset !== 0) {
    throw invalid('The source sent the whole object instead of the requested range: it does not support ranges');
  }
  const { contentLength } = head;
  if (contentLength === undefined) throw invalid('The source sent the whole object without its length');
  if (contentLength !== totalBytes) throw changed('The length of the object has changed');
}

function requireLength(head: ResponseHead, length: number): void {
  const { contentLength } = head;
  if (contentLength !== undefined && contentLength !== length) {
    throw invalid('The source sent a Content-Length that differs from its Content-Range');
  }
}
