import type { ErrorCode } from '../../errors.js';

/** The errors of requests that name a source. */
export const sourceErrors: readonly ErrorCode[] = [
  'MODEL_DIR_UNAVAILABLE',
  'FORMAT_INVALID',
  'SOURCE_FORBIDDEN',
  'SOURCE_NOT_FOUND',
  'SOURCE_CHANGED',
  'SOURCE_UNSUPPORTED',
  'SOURCE_AUTH_FAILED',
  'SOURCE_UNAVAILABLE',
  'SOURCE_INVALID',
  'SOURCE_TIMEOUT',
];
