import type { Static, TSchema, TUnsafe } from 'typebox';

type Component = TSchema & { readonly $id: string };

/** A reference to an OpenAPI component, with the type of that component. */
export const refTo = <T extends Component>(schema: T): TUnsafe<Static<T>> =>
  ({ $ref: schema.$id }) as unknown as TUnsafe<Static<T>>;

/** A reference to an OpenAPI component, or null. */
export const nullableRefTo = <T extends Component>(schema: T, description: string): TUnsafe<Static<T> | null> =>
  ({ anyOf: [{ $ref: schema.$id }, { type: 'null' }], description }) as unknown as TUnsafe<Static<T> | null>;
