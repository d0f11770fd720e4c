import type { Static, TSchema, TUnsafe } from 'typebox';

type Component = TSchema & { readonly $id: string };

/** A named OpenAPI component that is typed as what it refers to. */
export const refTo = <T extends Component>(schema: T): TUnsafe<Static<T>> =>
  ({ $ref: schema.$id }) as unknown as TUnsafe<Static<T>>;

/** The same, or null. */
export const nullableRefTo = <T extends Component>(schema: T): TUnsafe<Static<T> | null> =>
  ({ anyOf: [{ $ref: schema.$id }, { type: 'null' }] }) as unknown as TUnsafe<Static<T> | null>;
