import type { IncomingHttpHeaders } from 'node:http';
import type { CommitRequest } from '../../residency/commit/request.js';
import { schemaError } from '../errors/schema_error.js';
import { invalidParams } from '../errors/to_worker_error.js';
import type { ResumableQuery } from '../schemas/commit.js';
import { commitFieldsOf } from './commit_fields.js';
import { uploadLengthOf } from './tus_headers.js';
import { uploadMetadata } from './upload_metadata.js';
import { withReprDigest } from './upload_request.js';

/** Validates fields by the schema of the query, and converts them in place. */
export interface FieldValidator {
  (fields: object): unknown;
  errors?: Parameters<typeof schemaError>[0] | null;
}

/**
 * The commit that a request for a resumable upload declares: in its query, in `Upload-Metadata`, or in both.
 * @throws WorkerError INVALID_PARAMS, LENGTH_REQUIRED
 */
export function uploadCreationOf(
  query: ResumableQuery,
  headers: IncomingHttpHeaders,
  validate: FieldValidator | undefined,
): CommitRequest {
  const vramBytes = uploadLengthOf(headers);
  const fields = merged(query, metadataOf(headers, validate));
  const { shard_id, model_ref, ...rest } = fields;
  if (shard_id === undefined) throw invalidParams('shard_id is missing: send it in the query or in Upload-Metadata');
  if (model_ref === undefined) throw invalidParams('model_ref is missing: send it in the query or in Upload-Metadata');
  return withReprDigest({ ...commitFieldsOf({ ...rest, shard_id, model_ref }), vramBytes }, headers);
}

function metadataOf(headers: IncomingHttpHeaders, validate: FieldValidator | undefined): ResumableQuery {
  const header = headers['upload-metadata'];
  if (header === undefined || header === '') return {};
  const fields = Object.fromEntries(uploadMetadata(String(header)));
  if (validate?.(fields) === true) return fields;
  const violations = (validate?.errors ?? []).map((violation) => ({
    ...violation,
    instancePath: `/Upload-Metadata${violation.instancePath}`,
  }));
  throw invalidParams(schemaError(violations, 'headers').message);
}

/** @throws WorkerError INVALID_PARAMS if both have a field and the values differ */
function merged(query: ResumableQuery, metadata: ResumableQuery): ResumableQuery {
  const known = new Map<string, unknown>(Object.entries(query));
  for (const [name, value] of Object.entries(metadata)) {
    if (known.has(name) && known.get(name) !== value) throw invalidParams(`${name} and Upload-Metadata differ`);
  }
  return { ...metadata, ...query };
}
