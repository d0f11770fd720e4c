import type { FastifyError } from 'fastify';
import { internalError, WorkerError } from '../../errors.js';

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

const isFastifyError = (error: unknown): error is FastifyError =>
  error instanceof Error && ('validation' in error || ('code' in error && String(error.code).startsWith('FST_')));
