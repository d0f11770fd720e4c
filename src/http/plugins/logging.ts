import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { requestState } from '../server/request_state.js';
import { errorFields } from './error_fields.js';

const validId = /^[A-Za-z0-9._-]{1,128}$/;

/** The id of a request in logs and responses. */
export const newRequestId = (): string => randomUUID();

/** The caller's id for a chain of requests (`X-Correlation-Id`), or the request id if it is missing or invalid. */
function correlationIdOf(request: Pick<IncomingMessage, 'headers'>, requestId: string): string {
  const header = request.headers['x-correlation-id'];
  return typeof header === 'string' && validId.test(header) ? header : requestId;
}

/** The allowed fields of a log line, besides those of its logger. The logger drops every other field. */
export const logFields: ReadonlySet<string> = new Set([
  'req',
  'res',
  'err',
  'code',
  'duration_ms',
  'finished',
  'signal',
  'drain_seconds',
  'shutdown_delay_seconds',
  'driver',
  'files',
  'paused',
  'shard_id',
  'model_ref',
  'detail',
  'dropped',
  'worker_id',
  'allocation_id',
  'bytes',
  'count',
  'request',
  'hold_seconds',
  'max_descriptors',
]);

/** The allowed content of fields that are objects. It excludes headers, queries and bodies. */
export const logSerializers = {
  req: (request: FastifyRequest) => ({
    method: request.method,
    route: request.routeOptions?.url,
    remote_address: request.ip,
  }),
  res: (reply: FastifyReply) => ({ status: reply.statusCode }),
  err: (error: unknown) => errorFields(error),
};

/** The property of a request's logger that has the request. */
const requestOfLogger = Symbol('request');

/** Whose lines a logger writes: the worker's own, or those of a request with or without a valid token. */
export function ownerOf(logger: {
  readonly [requestOfLogger]?: IncomingMessage;
}): 'worker' | 'authenticated' | 'unauthenticated' {
  const request = logger[requestOfLogger];
  if (request === undefined) return 'worker';
  return requestState(request).isAuthenticated ? 'authenticated' : 'unauthenticated';
}

/** The logger of one request. Each line has both ids. */
export function requestLogger(
  logger: FastifyBaseLogger,
  { request_id }: { request_id?: string },
  _options: object,
  request: IncomingMessage,
): FastifyBaseLogger {
  const child = logger.child({ request_id, correlation_id: correlationIdOf(request, request_id ?? '') });
  return Object.assign(child, { [requestOfLogger]: request });
}

/** Whether a logger writes the lines of requests that orchestrators repeat. */
export const logsEveryRequest = ({ level }: { readonly level: string }): boolean =>
  level === 'debug' || level === 'trace';

/** Adds both ids to every response, and logs one line after every request. */
export const logging = fp(async (app: FastifyInstance) => {
  app.decorateRequest('isUnlogged', false);
  const verbose = logsEveryRequest(app.log);
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    reply.header('x-correlation-id', correlationIdOf(request.raw, request.id));
    done();
  });
  app.onRequestEnd((request, reply) => {
    if (request.isUnlogged) return;
    const level = request.routeOptions.config.quiet === true ? 'debug' : 'info';
    if (level === 'debug' && !verbose) return;
    request.log[level](
      {
        req: request,
        res: reply,
        code: request.errorCode,
        duration_ms: Math.round(reply.elapsedTime * 1000) / 1000,
        finished: reply.raw.writableFinished,
      },
      'request',
    );
  });
});

declare module 'fastify' {
  interface FastifyRequest {
    /** The request gets no log line, because an attacker may send any number of its kind. */
    isUnlogged: boolean;
  }
}
