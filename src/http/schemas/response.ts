import type { TSchema, TUnsafe } from 'typebox';
import { refTo } from './ref.js';

/** A header of a response, for the OpenAPI document. */
export const textHeader = (description: string) => ({ type: 'string', description });

/** A JSON response whose body is a component. */
export const jsonResponse = <T extends TSchema & { readonly $id: string }>(
  schema: T,
  description: string,
  headers: object = {},
) => ({ description, headers, content: { 'application/json': { schema: refTo(schema) } } });

/** A response without a body. */
export const noContent = (description: string) => ({ type: 'null', description }) as unknown as TUnsafe<undefined>;
