import type { FastifyInstance } from 'fastify';
import { NoQuery } from '../schemas/common.js';
import { JwkSet } from '../schemas/keys.js';
import { jsonResponse } from '../schemas/response.js';
import { type RouteOptions, typed } from './route_options.js';

/** How long verifiers may keep the keys: much shorter than any grace, so that they meet a new key in time. */
const keepSeconds = 60;

/** `/.well-known/jwks.json`: the public keys that handles verify with. Open to all. */
export async function keyRoutes(app: FastifyInstance, { residency }: Pick<RouteOptions, 'residency'>): Promise<void> {
  typed(app).get(
    '/.well-known/jwks.json',
    {
      schema: {
        operationId: 'publicKeys',
        summary: 'Public keys that handles verify with',
        description:
          'The key that signs, and those before it that still verify. No keys where handles are signed with a shared ' +
          'secret, which is never shown.',
        tags: ['handles'],
        querystring: NoQuery,
        security: [],
        response: { 200: jsonResponse(JwkSet, 'A JWK set (RFC 7517).') },
      },
      config: { access: 'public', quiet: true },
    },
    async (_request, reply) => {
      reply.header('cache-control', `public, max-age=${keepSeconds}`);
      return { keys: residency.sealKey.published() };
    },
  );
}
