import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../../config/load.js';
import type { Residency } from '../../residency/residency.js';

/** What routes are made from. */
export interface RouteOptions {
  readonly residency: Residency;
  readonly config: Config;
}

/** The instance with request types taken from the schemas. */
export const typed = (app: FastifyInstance) => app.withTypeProvider<TypeBoxTypeProvider>();

/**
 * Reads what a request means before the rate limit counts it, so that what is wrong with a request is said first; the
 * handler takes what was read. `before` is the route's `preHandler`.
 */
export function reading<Request extends object, T>(read: (request: Request) => T) {
  const kept = new WeakMap<Request, NonNullable<T>>();
  return {
    before: (request: Request, _reply: unknown, done: (error?: Error) => void): void => {
      const value = read(request);
      if (value !== undefined && value !== null) kept.set(request, value);
      done();
    },
    of: (request: Request): T => kept.get(request) ?? read(request),
  };
}
