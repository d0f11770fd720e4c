import type { IncomingMessage } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../../config/load.js';
import type { PullQueue } from '../../pulls/pull_queue.js';
import type { Residency } from '../../residency/residency.js';
import type { Uploads } from '../../uploads/uploads.js';
import { requestState } from '../server/request_state.js';
import type { Polling } from './polling.js';

/** The options of every route plugin. */
export interface RouteOptions {
  readonly residency: Residency;
  readonly uploads: Uploads;
  readonly pulls: PullQueue;
  readonly config: Config;
  readonly polling: Polling;
}

/** The instance with request types taken from the schemas. */
export const typed = (app: FastifyInstance) => app.withTypeProvider<TypeBoxTypeProvider>();

/**
 * Parses a request before the rate limit counts it, so that an invalid request is refused first. Add `preHandler` to the
 * route, and get the result in the handler with `of`. A route can have one early parser.
 */
export function earlyParser<Request extends object, T>(parse: (request: Request) => T) {
  type Raw = { readonly raw: IncomingMessage };
  return {
    preHandler: (request: Request & Raw, _reply: unknown, done: (error?: Error) => void): void => {
      requestState(request.raw).parsed = parse(request);
      done();
    },
    of: (request: Raw): T => requestState(request.raw).parsed as T,
  };
}
