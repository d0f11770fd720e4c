import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { WorkerError } from '../../errors.js';
import { problemHeaders, problemOf, problemTypes } from '../errors/problem.js';
import { invalidParams, toWorkerError } from '../errors/to_worker_error.js';
import { drained, lingeringClose, unread } from '../server/lingering_close.js';

const badPaths = new WeakSet<FastifyRequest['raw']>();

/**
 * A path that cannot be decoded goes through the hooks of the place it meant, so that it is refused in the same order
 * as all else.
 */
export function reroute(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): void {
  const { raw } = request;
  badPaths.add(raw);
  raw.url = raw.url?.startsWith('/v1') === true ? '/v1/' : '/';
  app.routing(raw, reply.raw);
}

/** Why there is no route: said before anything of the body is read. */
export function noRoute(request: FastifyRequest): WorkerError {
  return badPaths.has(request.raw)
    ? invalidParams('The path cannot be read')
    : new WorkerError('NOT_FOUND', `There is no ${request.method} on this path`);
}

/** Every error leaves as `application/problem+json`, and so that its reader gets it even while still sending. */
export const errorHandler = fp(async (app: FastifyInstance) => {
  app.setErrorHandler((error, request, reply) => {
    const refusal = toWorkerError(error);
    if (problemTypes[refusal.code].status === 500)
      request.log.error({ err: refusal.cause ?? refusal }, refusal.message);
    const problem = problemOf(refusal, request.id);
    request.errorCode = refusal.code;
    reply.code(problem.status).headers(problemHeaders(problem)).send(JSON.stringify(problem));
  });
  app.setNotFoundHandler((request) => {
    throw noRoute(request);
  });
  app.decorateRequest('errorCode', undefined);

  app.addHook('onSend', async (request, reply, payload) => {
    if (!unread(request.raw)) return payload;
    reply.header('connection', 'close');
    if (typeof payload !== 'string' && !Buffer.isBuffer(payload)) {
      await drained(request.raw);
      return payload;
    }
    reply.header('content-length', Buffer.byteLength(payload));
    return lingeringClose(payload, request.raw);
  });
});

declare module 'fastify' {
  interface FastifyRequest {
    /** The code of the problem that the request got, for metrics. */
    errorCode: WorkerError['code'] | undefined;
  }
}
