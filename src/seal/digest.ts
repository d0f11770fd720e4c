import { WorkerError } from '../errors.js';

/** `sha256:` and 64 lower-case hex digits: the form in which every digest leaves the worker. */
export type Digest = `sha256:${string}`;

const pattern = /^(?:sha256:)?([0-9a-fA-F]{64})$/;

/**
 * Reads a digest as a client writes it: 64 hex digits, with or without `sha256:`; the result is lower-case.
 * @throws WorkerError INVALID_PARAMS
 */
export function parseDigest(text: string, field: string): Digest {
  const hex = pattern.exec(text)?.[1];
  if (hex === undefined) throw new WorkerError('INVALID_PARAMS', `${field} is not a SHA-256 in 64 hex digits`);
  return `sha256:${hex.toLowerCase()}`;
}

/** Whether a value is a digest as we write it. */
export const isDigest = (value: unknown): value is Digest =>
  typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value);

/** The digest of 32 raw bytes. */
export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${Buffer.from(bytes).toString('hex')}`;
}
