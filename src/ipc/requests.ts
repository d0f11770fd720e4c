import { WorkerError } from '../errors.js';
import { type Frame, FrameError } from './frame.js';
import { integer, type Keys, matching, readKeys, visibleText } from './keys.js';

/** The key of the number that an answer repeats. */
export const id = integer(0, Number.MAX_SAFE_INTEGER);

const hello = { version: integer(1, 1), client: visibleText(128) };
const token = matching(/^[\x21-\x7e]{1,4096}$/, 'a token');

/** The id of a request, for its answer. @throws FrameError, because no answer can name the request */
export function requestId({ fields }: Frame): number {
  const ids = fields.filter(([key]) => key === 'id');
  const value = ids.length === 1 ? id.parse(ids[0]?.[1] ?? '', 'id') : undefined;
  if (value === undefined) throw new FrameError(`A request must have one id, ${id.description}`);
  return value;
}

/** Reads the first frame, which may have further keys. @throws WorkerError INVALID_PARAMS, UNSUPPORTED_VERSION */
export function readHello<K extends Keys>({ type, fields }: Frame, optional: K) {
  if (type !== 'hello') throw new FrameError('The first frame must be a hello');
  const version = fields.find(([key]) => key === 'version')?.[1];
  if (version !== undefined && version !== '1') {
    throw new WorkerError('UNSUPPORTED_VERSION', 'Only version 1 is supported');
  }
  return readKeys(fields, hello, { token, ...optional });
}
