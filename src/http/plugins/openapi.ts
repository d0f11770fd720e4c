import { readFileSync } from 'node:fs';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { finishDocument } from '../openapi/document.js';
import { describeRoute } from '../openapi/operation.js';

const { version }: { version: string } = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
);

const description = `Keeps shards of AI models resident in GPU memory, and proves it.

A **handle** is a signed statement: these bytes, with this digest, lay in this GPU's own memory when they were sealed,
and at every verification since. Everything under \`/v1\` takes a bearer token. Errors are RFC 9457 problem details
with a \`code\` of a closed set.`;

/** The OpenAPI document, made from the routes' schemas: \`/openapi.json\`, and \`/docs\` to read and try it. */
export const openapi = fp(async (app: FastifyInstance) => {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'vram-residency',
        version,
        description,
        license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
      },
      servers: [{ url: '/', description: 'This worker' }],
      tags: [
        { name: 'placement', description: 'Where a model fits, and memory held for it' },
        { name: 'shards', description: 'What is in VRAM' },
        { name: 'handles', description: 'Signed statements' },
        { name: 'readiness', description: 'What orchestrators poll' },
        { name: 'probes', description: 'Whether the process lives and can work' },
      ],
      components: {
        securitySchemes: {
          bearerAuth: { type: 'http', scheme: 'bearer', description: "The worker's token, as it stands in its file." },
        },
      },
      security: [{ bearerAuth: [] }],
    },
    refResolver: {
      buildLocalReference: ({ $id }, _base, _fragment, index) => (typeof $id === 'string' ? $id : `Schema${index}`),
    },
    transform: describeRoute,
    transformObject: finishDocument,
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    uiConfig: { deepLinking: true, docExpansion: 'list', tryItOutEnabled: true },
    validatorUrl: false,
  });

  let document: string | undefined;
  app.get('/openapi.json', { schema: { hide: true }, config: { quiet: true } }, async (_request, reply) => {
    document ??= JSON.stringify(app.swagger());
    return reply.header('content-type', 'application/json; charset=utf-8').send(document);
  });
});
