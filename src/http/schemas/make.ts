import Type, { type TSchema } from 'typebox';
import { maxBytes } from './limits.js';

/** An object that refuses what it does not name, as a component called `id`. */
export const namedSchema = <const Id extends string, P extends Record<string, TSchema>>(
  id: Id,
  properties: P,
  description: string,
) => Object.assign(strictObject(properties, { description }), { $id: id });

/** An object that refuses what it does not name. */
export const strictObject = <P extends Record<string, TSchema>>(properties: P, options: object = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options });

/** A string of a few known words. Its `type` is spelt out: tools that generate clients want it. */
export const oneOf = <const Words extends readonly string[]>(words: Words, description: string) =>
  Type.Unsafe<Words[number]>({ type: 'string', enum: [...words], description });

/** Text without control characters or lone surrogates, so that it is the same text wherever it goes. */
export const plainText = (most: number, description: string) =>
  Type.String({ pattern: `^[^\\p{Cc}\\p{Cs}]{1,${most}}$`, description });

export const Bytes = (description: string) => Type.Integer({ minimum: 0, maximum: maxBytes, description });
export const Length = (description: string) => Type.Integer({ minimum: 1, maximum: maxBytes, description });
export const Instant = (description: string) => Type.String({ format: 'date-time', description });
export const NullableInstant = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time', description });

/** An integer in a query string. It arrives as text and is read exactly by `readInteger`. */
export const QueryInteger = (description: string) => Type.String({ pattern: '^(0|[1-9][0-9]{0,15})$', description });
export const QueryBoolean = (description: string) => oneOf(['true', 'false'], description);
