import { parseContentRange } from '../egress/content_range.js';
import type { Egress } from '../egress/egress.js';
import { invalid, SourceFault } from '../egress/fault.js';
import type { ObjectVersion } from '../egress/range_response.js';
import type { SourceRequest, TransferOptions } from '../egress/request.js';
import type { ResponseHead } from '../egress/response_head.js';
import { retrying } from '../egress/retrying.js';

/** What the first response says of an object. */
export interface Probe {
  readonly version: ObjectVersion;
  /** Whether the source sent a range of one byte as requested. */
  readonly supportsRanges: boolean;
  readonly head: ResponseHead;
}

/**
 * Asks for the first byte of an object, because many servers and signed URLs refuse HEAD.
 * @throws WorkerError, SOURCE_INVALID if the source does not state the length
 */
export function probe(egress: Egress, request: SourceRequest, options: TransferOptions): Promise<Probe> {
  return retrying(egress.environment, options, async ({ signal }) => {
    const headers = { ...request.headers, Range: 'bytes=0-0', 'Want-Repr-Digest': 'sha-256=10' };
    const explain = request.explain ?? (({ head }) => emptyFault(head));
    const { head, close } = await egress.fetchOk({ ...request, headers, explain }, signal);
    close();
    head.requirePlainBody();
    const totalBytes = head.status === 206 ? totalOf(head) : head.contentLength;
    if (totalBytes === undefined) throw invalid('The source does not state the length of the object');
    if (totalBytes === 0) throw empty();
    const version = { totalBytes, etag: head.strongEtag, lastModified: head.get('last-modified') };
    return { version, supportsRanges: head.status === 206, head };
  });
}

/** @throws SOURCE_INVALID */
function totalOf(head: ResponseHead): number | undefined {
  const range = parseContentRange(head.get('content-range'));
  if (range?.first !== 0 || range.last !== 0) throw invalid('The source sent another range than the requested one');
  return range.totalBytes;
}

/** No range of an empty object can be satisfied. */
function emptyFault(head: ResponseHead): SourceFault | undefined {
  const total = parseContentRange(head.get('content-range'))?.totalBytes;
  return head.status === 416 && total === 0 ? empty() : undefined;
}

const empty = (): SourceFault => new SourceFault('SOURCE_UNSUPPORTED', 'The object at the source is empty');
