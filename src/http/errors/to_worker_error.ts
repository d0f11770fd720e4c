import type { FastifyError } from 'fastify';
import { WorkerError } from '../../errors.js';

/** A refusal by reason of what the request says. */
export const invalidParams = (detail: string): WorkerError => new WorkerError('INVALID_PARAMS', detail);

/**
 * The error of the closed set that an error stands for. Fastify's own refusals are the client's doing; all else that is
 * not ours is INTERNAL, and shows nothing of itself.
 */
export function toWorkerError(error: unknown): WorkerError {
  if (error instanceof WorkerError) return error;
  if (!isFastifyError(error)) return internal(error);
  if (error.validation !== undefined) return invalidParams(error.message);
  const status = error.statusCode ?? 500;
  if (status === 415) return new WorkerError('UNSUPPORTED_MEDIA_TYPE', 'The content type cannot be read');
  if (status === 404) return new WorkerError('NOT_FOUND', 'There is no such route');
  return status >= 400 && status < 500 ? invalidParams(error.message) : internal(error);
}

/** What a schema found wrong, naming the field that is not known. */
export function schemaError(
  [first]: readonly { readonly instancePath: string; readonly message?: string; readonly params: object }[],
  part: string,
): Error {
  if (first === undefined) return new Error(`${part} is not valid`);
  const where = `${part}${first.instancePath}`;
  const unknown: unknown = 'additionalProperty' in first.params ? first.params.additionalProperty : undefined;
  return new Error(
    typeof unknown === 'string'
      ? `${where} has a field that is not known: ${JSON.stringify(unknown.slice(0, 64))}`
      : `${where} ${first.message ?? 'is not valid'}`,
  );
}

const internal = (cause: unknown): WorkerError =>
  new WorkerError('INTERNAL', 'Something went wrong; the logs of the worker say more', { cause });

const isFastifyError = (error: unknown): error is FastifyError =>
  error instanceof Error && ('validation' in error || ('code' in error && String(error.code).startsWith('FST_')));
