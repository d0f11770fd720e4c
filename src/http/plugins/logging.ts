import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';

const given = /^[A-Za-z0-9._-]{1,128}$/;

/** The id that a request has in logs and answers. */
export const newRequestId = (): string => randomUUID();

/** The id that the caller gave to a chain of requests; a request that has none starts its own. */
export function correlationIdOf(request: Pick<IncomingMessage, 'headers'>, requestId: string): string {
  const header = request.headers['x-correlation-id'];
  return typeof header === 'string' && given.test(header) ? header : requestId;
}

/** The fields that a log line may have, besides those of its logger. What is not named here is not logged. */
export const logFields: ReadonlySet<string> = new Set([
  'req',
  'res',
  'err',
  'code',
  'duration_ms',
  'finished',
  'signal',
  'drain_seconds',
  'driver',
  'files',
  'paused',
  'shard_id',
  'model_ref',
  'detail',
]);

/** What may stand in those that are objects: no header, no query, no body. */
export const logSerializers = {
  req: (request: FastifyRequest) => ({
    method: request.method,
    route: request.routeOptions?.url,
    remoteAddress: request.ip,
  }),
  res: (reply: FastifyReply) => ({ status: reply.statusCode }),
  err: (error: Error & { code?: unknown }) => ({
    type: error.name,
    code: error.code,
    message: error.message,
    stack: error.stack ?? '',
  }),
};

/** The logger of one request: each of its lines carries both ids. */
export function requestLogger(
  logger: FastifyBaseLogger,
  { request_id }: { request_id?: string },
  _options: object,
  request: IncomingMessage,
): FastifyBaseLogger {
  return logger.child({ request_id, correlation_id: correlationIdOf(request, request_id ?? '') });
}

/** Gives every answer its ids, and every request one line at its end. */
export const logging = fp(async (app: FastifyInstance) => {
  const verbose = app.log.level === 'debug' || app.log.level === 'trace';
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    reply.header('x-correlation-id', correlationIdOf(request.raw, request.id));
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    const level = request.routeOptions.config.quiet === true ? 'debug' : 'info';
    if (level === 'debug' && !verbose) return done();
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
    done();
  });
});
