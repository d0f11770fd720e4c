import type { IncomingHttpHeaders } from 'node:http';
import { WorkerError } from '../../errors.js';
import type { CommitRequest } from '../../residency/commit/request.js';
import { invalidParams } from '../errors/to_worker_error.js';
import type { UploadQuery } from '../schemas/commit.js';
import { maxBytes } from '../schemas/limits.js';
import { readInteger } from '../serializers/scalars.js';
import { commitFieldsOfQuery, lengthOfQuery } from './commit_fields.js';
import { reprDigest } from './repr_digest.js';

/**
 * Everything that an upload declares, before a byte of it is read.
 * @throws WorkerError INVALID_PARAMS, LENGTH_REQUIRED
 */
export function uploadRequestOf(query: UploadQuery, headers: IncomingHttpHeaders): CommitRequest {
  const claims = commitFieldsOfQuery(query);
  const vramBytes = lengthOf(query, headers);
  const header = headers['repr-digest'];
  const received = header === undefined ? undefined : reprDigest(String(header));
  if (received === undefined) return { ...claims, vramBytes };
  if (claims.expectedDigest !== undefined && claims.expectedDigest !== received) {
    throw invalidParams('expected_digest and Repr-Digest differ');
  }
  if (!claims.flatDigest) throw invalidParams('flat_digest=false leaves nothing to hold Repr-Digest against');
  return { ...claims, vramBytes, expectedDigest: received };
}

function lengthOf(query: UploadQuery, headers: IncomingHttpHeaders): number {
  const named = lengthOfQuery(query);
  const header = headers['content-length'];
  if (header === undefined) {
    const chunked = headers['transfer-encoding'] !== undefined;
    if (chunked && named !== undefined) return named;
    throw new WorkerError(
      'LENGTH_REQUIRED',
      chunked ? 'Chunked transfer needs vram_bytes in the query' : 'Neither Content-Length nor chunked transfer',
    );
  }
  const declared = readInteger(header, 'Content-Length', 1, maxBytes);
  if (named !== undefined && named !== declared) throw invalidParams('vram_bytes and Content-Length differ');
  return declared;
}
