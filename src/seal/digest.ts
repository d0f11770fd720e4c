import { WorkerError } from '../errors.js';

/** `sha256:` and 64 lower-case hex digits: the form of every digest that the worker outputs. */
export type Digest = `sha256:${string}`;

const pattern = /^(?:sha256:)?([0-9a-fA-F]{64})$/;

/**
 * Parses a client's digest: 64 hex digits in either case, with or without `sha256:`.
 * @throws WorkerError INVALID_PARAMS, which names `field`
 */
export function parseDigest(text: string, field: string): Digest {
  const hex = pattern.exec(text)?.[1];
  if (hex === undefined) throw new WorkerError('INVALID_PARAMS', `${field} is not a SHA-256 digest of 64 hex digits`);
  return `sha256:${hex.toLowerCase()}`;
}

/** Whether a value has the output form of a digest. */
export const isDigest = (value: unknown): value is Digest =>
  typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value);

/** Formats a digest of 32 raw bytes. */
export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${Buffer.from(bytes).toString('hex')}`;
}
