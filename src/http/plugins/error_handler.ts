import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { WorkerError } from '../../errors.js';
import { problemHeaders, problemOf, problemTypes } from '../errors/problem.js';
import { invalidParams, toWorkerError } from '../errors/to_worker_error.js';
import { drainBody, hasUnreadBody, lingeringClose } from '../server/lingering_close.js';
import { requestState } from '../server/request_state.js';

/**
 * Routes a path that cannot be decoded again, to a path without a route in the same scope. The hooks of that scope then
 * check the request in the usual order.
 */
export function reroute(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): void {
  const { raw } = request;
  requestState(raw).hasBadPath = true;
  raw.url = raw.url?.startsWith('/v1') === true ? '/v1/' : '/';
  app.routing(raw, reply.raw);
}

/** The error for a request without a route. It needs nothing of the body. */
export function noRoute(request: FastifyRequest): WorkerError {
  return requestState(request.raw).hasBadPath
    ? invalidParams('The path cannot be decoded')
    : new WorkerError('NOT_FOUND', `The path has no route for ${request.method}: see GET /docs`);
}

/** Sends every error as `application/problem+json`. A client that is still sending its body can also read it. */
export const errorHandler = fp(async (app: FastifyInstance) => {
  app.setErrorHandler((error, request, reply) => {
    const workerError = toWorkerError(error);
    const problem = problemOf(workerError, request.id);
    if (problemTypes[workerError.code].status === 500 || workerError.code === 'MODEL_DIR_UNAVAILABLE') {
      request.log.error({ err: workerError.cause ?? workerError }, workerError.message);
    }
    request.errorCode = workerError.code;
    reply.code(problem.status).headers(problemHeaders(problem)).send(JSON.stringify(problem));
  });
  app.setNotFoundHandler((request) => {
    throw noRoute(request);
  });
  app.decorateRequest('errorCode', undefined);

  app.addHook('onSend', async (request, reply, payload) => {
    if (!hasUnreadBody(request.raw)) return payload;
    reply.header('connection', 'close');
    if (typeof payload !== 'string' && !Buffer.isBuffer(payload)) {
      await drainBody(request.raw);
      return payload;
    }
    reply.header('content-length', Buffer.byteLength(payload));
    return lingeringClose(payload, request.raw);
  });
});

declare module 'fastify' {
  interface FastifyRequest {
    /** The code of the problem in the response, for metrics. */
    errorCode: WorkerError['code'] | undefined;
  }
}
