/** The fields of a JSON object; null for any other value. */
export const fieldsOf = (value: unknown): ReadonlyMap<string, unknown> | null =>
  typeof value === 'object' && value !== null ? new Map<string, unknown>(Object.entries(value)) : null;

export const isText = (value: unknown): value is string => typeof value === 'string';

export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

/** Whether a field is null or has a value of a type. */
export const isOptional = <T>(value: unknown, isType: (value: unknown) => value is T): value is T | null =>
  value === null || isType(value);
