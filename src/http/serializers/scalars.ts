import { invalidParams } from '../errors/to_worker_error.js';

/** The instant as RFC 3339 in UTC. */
export const instant = (epochMs: number): string => new Date(epochMs).toISOString();
export const instantOrNull = (epochMs: number | null): string | null => (epochMs === null ? null : instant(epochMs));

/**
 * Reads an integer of a query string. The schema has seen that it is digits; here it is held to its range, exactly.
 * @throws WorkerError INVALID_PARAMS
 */
export function readInteger(text: string, field: string, least: number, most: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw invalidParams(`${field} is not an integer from ${least} to ${most}`);
  }
  return value;
}

type Given<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** The object without the fields that are undefined. */
export function omitUndefined<T extends object>(fields: T): Given<T> {
  const kept: Record<string, unknown> = {};
  for (const key in fields) if (fields[key] !== undefined) kept[key] = fields[key];
  return kept as Given<T>;
}
