import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';

type Listener = (request: FastifyRequest, reply: FastifyReply) => void;

declare module 'fastify' {
  interface FastifyInstance {
    /** Calls the listener once for each request, also if its client leaves. Fastify then runs no `onResponse` hook. */
    onRequestEnd(listener: Listener): void;
  }
  interface FastifyRequest {
    hasEnded: boolean;
  }
}

/**
 * The end of a request: its response is written, its client leaves during the response, or the response is ready after
 * the client has left.
 */
export const requestEnd = fp(async (app: FastifyInstance) => {
  const listeners: Listener[] = [];
  const end: Listener = (request, reply) => {
    if (request.hasEnded) return;
    request.hasEnded = true;
    for (const listener of listeners) listener(request, reply);
  };
  app.decorate('onRequestEnd', (listener: Listener) => void listeners.push(listener));
  app.decorateRequest('hasEnded', false);
  app.addHook('onRequest', (request, reply, done) => {
    reply.raw.once('close', () => {
      if (reply.raw.headersSent) end(request, reply);
    });
    done();
  });
  app.addHook('onSend', (request, reply, payload, done) => {
    if (reply.raw.destroyed) end(request, reply);
    done(null, payload);
  });
  app.addHook('onResponse', (request, reply, done) => {
    end(request, reply);
    done();
  });
});
