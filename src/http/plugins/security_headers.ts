import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import helmet from 'helmet';

/**
 * Security headers. What speaks of TLS is left to the proxy that terminates it: on plain http it would turn the docs
 * page blank (upgrade-insecure-requests) or be ignored with a complaint. The policy is the docs page's; to JSON it
 * means nothing.
 */
const secure = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      'default-src': ["'self'"],
      'base-uri': ["'none'"],
      'form-action': ["'self'"],
      'frame-ancestors': ["'none'"],
      'img-src': ["'self'", 'data:'],
      'object-src': ["'none'"],
      'style-src': ["'self'", "'unsafe-inline'"],
    },
  },
  strictTransportSecurity: false,
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
});

/** Gives every answer its security headers, which are the same for all and so are made once. */
export const securityHeaders = fp(async (app: FastifyInstance) => {
  const all = headerFields();
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(all);
    done();
  });
});

function headerFields(): Record<string, string> {
  const all: Record<string, string> = {};
  const answer: Pick<ServerResponse, 'setHeader' | 'removeHeader'> = {
    setHeader: (name, value) => {
      all[name.toLowerCase()] = String(value);
      return answer as ServerResponse;
    },
    removeHeader: () => undefined,
  };
  secure({} as IncomingMessage, answer as ServerResponse, (error) => {
    if (error !== undefined) throw error;
  });
  return all;
}
