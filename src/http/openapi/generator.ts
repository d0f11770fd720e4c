import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { packageVersion } from '../../config/version.js';
import { finishDocument } from './document.js';
import { describeRoute } from './operation.js';

const description = `Keeps AI-model shards resident in GPU memory and proves it.

A **shard** is the bytes of a model, or of a part of it, on one GPU. Commit a shard, and the worker returns a **handle**: a signed
statement that these bytes, with this digest, were in this GPU's own read-only memory when the worker sealed them. While
the worker reports the handle as valid, every later verification has found the same bytes.

Routes under \`/v1\` need a bearer token. The API token may use every route. The read token may use the routes that do not
list \`FORBIDDEN\`, and \`POST /v1/plan\` without a reservation.

Errors are RFC 9457 problem details with a \`code\` from a closed set. Sizes are in bytes, and times are RFC 3339 in UTC.
Every response has the id of its request in \`X-Request-Id\`.`;

const documentInfo = {
  openapi: '3.1.0',
  info: {
    title: 'vram-residency',
    version: packageVersion(),
    description,
    license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
  },
  tags: [
    { name: 'placement', description: 'Plan a model and reserve memory for it' },
    { name: 'shards', description: 'Commit, list, verify and release shards' },
    { name: 'pulls', description: 'Pull whole models from sources' },
    { name: 'uploads', description: 'Upload shards over connections that break (tus 1.0)' },
    { name: 'leases', description: 'Processes that attached shards' },
    { name: 'handles', description: 'Verify handles and get public keys' },
    { name: 'readiness', description: 'Check which models are ready' },
    { name: 'audit', description: 'Read the audit log' },
    { name: 'probes', description: 'Monitor the worker' },
  ],
  components: {
    securitySchemes: {
      bearerAuth: { type: 'http' as const, scheme: 'bearer', description: 'The API token or the read token.' },
    },
  },
  security: [{ bearerAuth: [] }],
};

/** Collects the schemas of all routes for `app.swagger()`. The worker serves the file that was generated from it. */
export const openapiGenerator = fp(async (app: FastifyInstance) => {
  await app.register(swagger, {
    openapi: documentInfo,
    refResolver: {
      buildLocalReference: ({ $id }, _base, _fragment, index) => (typeof $id === 'string' ? $id : `Schema${index}`),
    },
    transform: describeRoute,
    transformObject: finishDocument,
  });
});
