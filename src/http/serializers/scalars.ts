import { invalidParams } from '../errors/to_worker_error.js';
import type { Range } from '../schemas/limits.js';

/** Formats a time as RFC 3339 in UTC. */
export const instant = (epochMs: number): string => new Date(epochMs).toISOString();
export const instantOrNull = (epochMs: number | null): string | null => (epochMs === null ? null : instant(epochMs));

/**
 * Converts an integer of a header. Node already checked that it has only digits.
 * @throws WorkerError INVALID_PARAMS if it is outside the range
 */
export function readInteger(text: string, field: string, { minimum, maximum }: Range): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < minimum || value > maximum) {
    throw invalidParams(`${field} is invalid: it must be an integer from ${minimum} to ${maximum}`);
  }
  return value;
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Returns a copy without the fields that are undefined. */
export function omitUndefined<T extends object>(fields: T): Defined<T> {
  const kept: Record<string, unknown> = {};
  for (const key in fields) if (fields[key] !== undefined) kept[key] = fields[key];
  return kept as Defined<T>;
}
