import Type, { type TSchema } from 'typebox';
import { maxBytes } from './limits.js';

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

/** Text without control characters or lone surrogates, which logs and other systems could change. */
export const plainText = (maxLength: number, description: string) =>
  Type.String({ pattern: `^[^\\p{Cc}\\p{Cs}]{1,${maxLength}}$`, description });

export const Bytes = (description: string) => Type.Integer({ minimum: 0, maximum: maxBytes, description });
export const Length = (description: string) => Type.Integer({ minimum: 1, maximum: maxBytes, description });
export const Instant = (description: string) => Type.String({ format: 'date-time', description });
export const NullableInstant = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time', description });

const digestPattern = '^sha256:[0-9a-f]{64}$';
export const Digest = (description: string) => Type.String({ pattern: digestPattern, description });
export const NullableDigest = (description: string) =>
  Type.Unsafe<`sha256:${string}` | null>({ type: ['string', 'null'], pattern: digestPattern, description });

/** An integer in a query string, as text. `readInteger` converts it exactly. */
export const QueryInteger = (description: string) => Type.String({ pattern: '^(0|[1-9][0-9]{0,15})$', description });
export const QueryBoolean = (description: string) => oneOf(['true', 'false'], description);
