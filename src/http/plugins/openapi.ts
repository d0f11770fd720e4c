import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { readOnce } from './read_once.js';

/** `/openapi.json`: the OpenAPI document, which `npm run openapi` generates from the routes' schemas. */
export const openapi = fp(async (app: FastifyInstance) => {
  const read = readOnce(new URL('../../../openapi/openapi.json', import.meta.url));
  app.get('/openapi.json', { schema: { hide: true }, config: { quiet: true } }, async (_request, reply) =>
    reply.header('content-type', 'application/json; charset=utf-8').send(await read()),
  );
});
