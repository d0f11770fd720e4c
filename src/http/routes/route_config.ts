import type { ErrorCode } from '../../errors.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call the route: any client, or any token. By default only the API token. */
    access?: 'public' | 'read';
    /** The kind of body: the bytes of a shard, some of them (tus), or nothing. By default JSON. */
    body?: 'bytes' | 'part' | 'none';
    /** The JSON body may be omitted. It then counts as an empty object. */
    bodyOptional?: boolean;
    /** A schema of request headers for the OpenAPI document. It validates nothing. */
    headers?: object;
    /** Orchestrators poll the route, so its requests are logged at the debug level. */
    quiet?: boolean;
    /** The errors of the route, besides those of every route. */
    errors?: readonly ErrorCode[];
  }
}
