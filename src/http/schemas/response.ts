import type { TSchema, TUnsafe } from 'typebox';
import { refTo } from './ref.js';

/** A JSON response whose body is a component. */
export const jsonResponse = <T extends TSchema & { readonly $id: string }>(schema: T, description: string) => ({
  description,
  content: { 'application/json': { schema: refTo(schema) } },
});

/** A response without a body. */
export const noContent = (description: string) => ({ type: 'null', description }) as unknown as TUnsafe<undefined>;
