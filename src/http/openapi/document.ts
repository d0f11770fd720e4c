import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { optionalBodies } from '../schemas/index.js';
import { examples } from './examples.js';

type TransformObject = NonNullable<FastifyDynamicSwaggerOptions['transformObject']>;
interface Body {
  required?: boolean;
  content: Record<string, { schema?: { $ref?: string }; example?: unknown }>;
}

/**
 * Puts into the finished document what @fastify/swagger has no place for: examples of JSON bodies, and bodies that may
 * be left out.
 */
export const finishDocument: TransformObject = (made) => {
  if (!('openapiObject' in made)) return made.swaggerObject;
  const document = made.openapiObject;
  for (const path of Object.values(document.paths ?? {})) {
    for (const operation of [path?.post, path?.put]) {
      const body = operation?.requestBody as Body | undefined;
      const json = body?.content['application/json'];
      if (operation === undefined || body === undefined || json === undefined) continue;
      json.example = examples[operation.operationId ?? '']?.request;
      body.required = !optionalBodies.some(({ $id }) => json.schema?.$ref === `#/components/schemas/${$id}`);
    }
  }
  return document;
};
