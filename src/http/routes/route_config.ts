import type { ErrorCode } from '../../errors.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call: anybody, or any token; where it is absent, a token that may change things. */
    access?: 'public' | 'read';
    /** What the body is: the shard itself, or nothing. Where it is absent, JSON. */
    body?: 'bytes' | 'none';
    /** A JSON body that may be left out, and then counts as an empty object. */
    bodyOptional?: boolean;
    /** Called so often that its log lines are for debugging alone. */
    quiet?: boolean;
    /** The errors that the route documents, besides those that every route has. */
    errors?: readonly ErrorCode[];
  }
}
