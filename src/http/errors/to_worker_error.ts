import type { FastifyError } from 'fastify';
import { internalError, WorkerError } from '../../errors.js';
import { sourceTypes } from '../schemas/source.js';

/** The error for a request that says something invalid. */
export const invalidParams = (detail: string): WorkerError => new WorkerError('INVALID_PARAMS', detail);

/**
 * Converts any thrown value to an error of the closed set. Fastify's own errors are the client's fault. Every other
 * error becomes INTERNAL, and the client sees nothing of it.
 */
export function toWorkerError(error: unknown): WorkerError {
  if (error instanceof WorkerError) return error;
  if (!isFastifyError(error)) return internalError(error);
  if (error.validation !== undefined) return invalidParams(error.message);
  const status = error.statusCode ?? 500;
  if (status === 415) return new WorkerError('UNSUPPORTED_MEDIA_TYPE', 'The content type is not supported');
  if (status === 404) return new WorkerError('NOT_FOUND', 'The route does not exist');
  return status >= 400 && status < 500 ? invalidParams(error.message) : internalError(error);
}

/** The error for the first violation of a schema. It names an unknown field. */
export function schemaError(
  [first]: readonly { readonly instancePath: string; readonly message?: string; readonly params: object }[],
  part: string,
): Error {
  if (first === undefined) return new Error(`${part} is invalid`);
  const path = `${part}${first.instancePath}`;
  if ('format' in first.params && first.params.format === 'visible-text') {
    return new Error(`${path} must be in Unicode NFC, without control, bidirectional or zero-width characters`);
  }
  if ('tag' in first.params) return new Error(`${path}/type must be one of ${sourceTypes.join(', ')}`);
  const unknown: unknown = 'additionalProperty' in first.params ? first.params.additionalProperty : undefined;
  return new Error(
    typeof unknown === 'string'
      ? `${path} has an unknown field: ${JSON.stringify(unknown.slice(0, 64))}`
      : `${path} ${first.message ?? 'is invalid'}`,
  );
}

const isFastifyError = (error: unknown): error is FastifyError =>
  error instanceof Error && ('validation' in error || ('code' in error && String(error.code).startsWith('FST_')));
