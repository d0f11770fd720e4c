import type { IncomingHttpHeaders } from 'node:http';
import { WorkerError } from '../../errors.js';
import type { UploadStatus } from '../../uploads/status.js';
import { invalidParams } from '../errors/to_worker_error.js';
import { lengthRange, maxBytes } from '../schemas/limits.js';
import { readInteger } from '../serializers/scalars.js';

/** https://tus.io/protocols/resumable-upload */
export const tusVersion = '1.0.0';
const extensions = 'creation,creation-with-upload,expiration,termination';

/** The error for a request of another version, or without one. */
export const tusVersionError = (headers: IncomingHttpHeaders): WorkerError | undefined =>
  headers['tus-resumable'] === tusVersion
    ? undefined
    : new WorkerError('TUS_VERSION_UNSUPPORTED', `Tus-Resumable is missing or unsupported: send ${tusVersion}`);

/** What the worker supports, for `OPTIONS`. */
export const tusCapabilities = (maxModelBytes: number) => ({
  'tus-version': tusVersion,
  'tus-extension': extensions,
  'tus-max-size': String(maxModelBytes),
});

/** @throws WorkerError LENGTH_REQUIRED, INVALID_PARAMS */
export function uploadLengthOf(headers: IncomingHttpHeaders): number {
  const length = headers['upload-length'];
  if (headers['upload-defer-length'] !== undefined) {
    throw new WorkerError('LENGTH_REQUIRED', 'Upload-Defer-Length is not supported: send Upload-Length');
  }
  if (length === undefined)
    throw new WorkerError('LENGTH_REQUIRED', 'Upload-Length is missing: send the length of the shard in bytes');
  return integerOf(length, 'Upload-Length', lengthRange.minimum);
}

/** @throws WorkerError INVALID_PARAMS */
export function uploadOffsetOf(headers: IncomingHttpHeaders): number {
  const offset = headers['upload-offset'];
  if (offset === undefined) throw invalidParams('Upload-Offset is missing: ask for it with HEAD');
  return integerOf(offset, 'Upload-Offset', 0);
}

function integerOf(header: string | string[], field: string, minimum: number): number {
  const text = String(header);
  return readInteger(/^\d{1,16}$/.test(text) ? text : 'NaN', field, { minimum, maximum: maxBytes });
}

/** The headers that describe an upload to its client. `Upload-Expires` has whole seconds (RFC 9110 §5.6.7). */
export const statusHeaders = ({ offset, totalBytes, expiresAtMs, sealedShardId }: UploadStatus) => ({
  'upload-offset': String(offset),
  'upload-length': String(totalBytes),
  'upload-expires': new Date(expiresAtMs).toUTCString(),
  ...(sealedShardId === undefined ? {} : { location: `/v1/shards/${sealedShardId}` }),
});
