import type { TSchema, TUnsafe } from 'typebox';
import { refTo } from './ref.js';

/** What a route answers with: a component, and what it means here. */
export const jsonResponse = <T extends TSchema & { readonly $id: string }>(schema: T, description: string) => ({
  description,
  content: { 'application/json': { schema: refTo(schema) } },
});

/** An answer without a body. */
export const noContent = (description: string) => ({ type: 'null', description }) as unknown as TUnsafe<undefined>;
