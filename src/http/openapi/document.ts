import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { optionalBodies } from '../schemas/index.js';
import { sourceMapping } from '../schemas/source.js';
import { examples } from './examples.js';

type TransformObject = NonNullable<FastifyDynamicSwaggerOptions['transformObject']>;
interface Body {
  required?: boolean;
  content: Record<string, { schema?: { $ref?: string }; example?: unknown; examples?: object }>;
}

/** Relative to the URL of the document, so that it is right behind a proxy that adds a prefix to the path. */
const servers = [{ url: '.', description: 'This worker' }];

/** Adds what @fastify/swagger cannot express: a relative server, examples of JSON bodies, and optional bodies. */
export const finishDocument: TransformObject = (generated) => {
  if (!('openapiObject' in generated)) return generated.swaggerObject;
  const document = { ...generated.openapiObject, servers };
  for (const path of Object.values(document.paths ?? {})) {
    for (const operation of [path?.post, path?.put]) {
      const body = operation?.requestBody as Body | undefined;
      // The creation of a resumable upload may have a body.
      if (body?.content['application/offset+octet-stream'] !== undefined) body.required = false;
      const json = body?.content['application/json'];
      if (operation === undefined || body === undefined || json === undefined) continue;
      const { request, requests } = examples[operation.operationId ?? ''] ?? {};
      if (requests === undefined) json.example = request;
      else json.examples = Object.fromEntries(Object.entries(requests).map(([name, value]) => [name, { value }]));
      body.required = !optionalBodies.some(({ $id }) => json.schema?.$ref === `#/components/schemas/${$id}`);
    }
  }
  const schemas = document.components?.schemas;
  const discriminator = { propertyName: 'type', mapping: sourceMapping };
  if (schemas?.Source !== undefined) schemas.Source = { ...schemas.Source, discriminator };
  return document;
};
