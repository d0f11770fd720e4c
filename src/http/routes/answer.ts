import Type, { type TSchema } from 'typebox';
import { refTo } from '../schemas/common.js';

/** What a route answers with: a component, and what it means here. */
export const answer = <T extends TSchema & { readonly $id: string }>(schema: T, description: string) => ({
  description,
  content: { 'application/json': { schema: refTo(schema) } },
});

/** An answer without a body. */
export const nothing = (description: string) => Type.Unsafe<undefined>(Type.Null({ description }));
