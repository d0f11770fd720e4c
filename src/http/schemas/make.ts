import Type, { type TSchema } from 'typebox';
import { maxBytes, type Range } from './limits.js';

/** A strict object as an OpenAPI component with this id. */
export const namedSchema = <const Id extends string, P extends Record<string, TSchema>>(
  id: Id,
  properties: P,
  description: string,
) => Object.assign(strictObject(properties, { description }), { $id: id });

/** An object that refuses unknown fields. */
export const strictObject = <P extends Record<string, TSchema>>(properties: P, options: object = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options });

/** An enum of strings. Client generators need the explicit `type`. */
export const oneOf = <const Words extends readonly string[]>(words: Words, description: string) =>
  Type.Unsafe<Words[number]>({ type: 'string', enum: [...words], description });

/** Text that the worker signs or shows. Logs and other systems could change or misread other characters. */
export const visibleText = (maxLength: number, description: string) =>
  Type.String({
    minLength: 1,
    maxLength,
    format: 'visible-text',
    description: `${description} Unicode NFC, without control, bidirectional or zero-width characters.`,
  });

export const Bytes = (description: string) => Type.Integer({ minimum: 0, maximum: maxBytes, description });
export const Count = (description: string) => Type.Integer({ minimum: 0, description });
export const Length = (description: string) => Type.Integer({ minimum: 1, maximum: maxBytes, description });
export const Instant = (description: string) => Type.String({ format: 'date-time', description });
export const NullableInstant = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time', description });

const digestPattern = '^sha256:[0-9a-f]{64}$';
export const Digest = (description: string) => Type.String({ pattern: digestPattern, description });
export const NullableDigest = (description: string) =>
  Type.Unsafe<`sha256:${string}` | null>({ type: ['string', 'null'], pattern: digestPattern, description });

/** The JSON type that a query parameter, which is text, is converted to. The OpenAPI document describes this type. */
export type QueryType =
  | { readonly type: 'integer'; readonly minimum: number; readonly maximum: number }
  | { readonly type: 'boolean' };

const queryParameter = <T>(query: QueryType, description: string) => Type.Unsafe<T>({ query, description });

export const QueryInteger = ({ minimum, maximum }: Range, description: string) =>
  queryParameter<number>({ type: 'integer', minimum, maximum }, description);
export const QueryBoolean = (description: string) => queryParameter<boolean>({ type: 'boolean' }, description);
