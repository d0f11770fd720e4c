import type { IncomingHttpHeaders } from 'node:http';
import { WorkerError } from '../../errors.js';
import type { CommitRequest } from '../../residency/commit/request.js';
import { invalidParams } from '../errors/to_worker_error.js';
import type { UploadQuery } from '../schemas/commit.js';
import { lengthRange } from '../schemas/limits.js';
import { readInteger } from '../serializers/scalars.js';
import { commitFieldsOf } from './commit_fields.js';
import { reprDigest } from './repr_digest.js';

/**
 * The commit that the query and the headers of an upload declare.
 * @throws WorkerError INVALID_PARAMS, LENGTH_REQUIRED
 */
export function uploadRequestOf(query: UploadQuery, headers: IncomingHttpHeaders): CommitRequest {
  const { vram_bytes, ...declared } = query;
  const fields = commitFieldsOf(declared);
  return withReprDigest({ ...fields, vramBytes: lengthOf(vram_bytes, headers) }, headers);
}

/** The request with the digest that `Repr-Digest` expects. @throws WorkerError INVALID_PARAMS */
export function withReprDigest(fields: CommitRequest, headers: IncomingHttpHeaders): CommitRequest {
  const header = headers['repr-digest'];
  const headerDigest = header === undefined ? undefined : reprDigest(String(header));
  if (headerDigest === undefined) return fields;
  if (fields.expectedDigest !== undefined && fields.expectedDigest !== headerDigest) {
    throw invalidParams('expected_digest and Repr-Digest differ');
  }
  if (!fields.flatDigest) throw invalidParams('Repr-Digest cannot be checked: flat_digest is false');
  return { ...fields, expectedDigest: headerDigest };
}

function lengthOf(queryLength: number | undefined, headers: IncomingHttpHeaders): number {
  const header = headers['content-length'];
  if (header === undefined) {
    const isChunked = headers['transfer-encoding'] !== undefined;
    if (isChunked && queryLength !== undefined) return queryLength;
    throw new WorkerError(
      'LENGTH_REQUIRED',
      isChunked
        ? 'The length is missing: chunked transfer needs vram_bytes in the query'
        : 'The length is missing: send Content-Length, or use chunked transfer with vram_bytes in the query',
    );
  }
  const length = readInteger(header, 'Content-Length', lengthRange);
  if (queryLength !== undefined && queryLength !== length) throw invalidParams('vram_bytes and Content-Length differ');
  return length;
}
