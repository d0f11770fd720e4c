import type { FastifyInstance } from 'fastify';
import { NoQuery } from '../schemas/common.js';
import { JwkSet } from '../schemas/keys.js';
import { jsonResponse } from '../schemas/response.js';
import { type RouteOptions, typed } from './route_options.js';

/** Much shorter than the usual grace period, so that verifiers get a new key in time. */
const maxCacheSeconds = 60;

/** `/.well-known/jwks.json`: the public keys that verify handles. It needs no token. */
export async function keyRoutes(app: FastifyInstance, { residency }: Pick<RouteOptions, 'residency'>): Promise<void> {
  typed(app).get(
    '/.well-known/jwks.json',
    {
      schema: {
        operationId: 'publicKeys',
        summary: 'Get the public keys that verify handles',
        description:
          'The current key and previous keys that still verify. The set is empty if the worker signs with a shared ' +
          'secret, which it never returns.',
        tags: ['handles'],
        querystring: NoQuery,
        security: [],
        response: { 200: jsonResponse(JwkSet, 'A JWK set (RFC 7517).') },
      },
      config: { access: 'public', quiet: true },
    },
    async (_request, reply) => {
      reply.header('cache-control', `public, max-age=${maxCacheSeconds}`);
      return { keys: residency.sealKey.published() };
    },
  );
}
