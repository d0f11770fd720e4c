import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { root } from './paths.js';

interface Answer {
  readonly content?: Readonly<Record<string, { readonly examples?: Readonly<Record<string, unknown>> }>>;
}
type Operation = { readonly responses: Readonly<Record<string, Answer>> };

const { paths }: { paths: Record<string, Record<string, Operation>> } = JSON.parse(
  readFileSync(join(root, 'openapi', 'openapi.json'), 'utf8'),
);

/** The error codes that the OpenAPI document lists for the route of a request; undefined for an unknown route. */
function documentedCodes({ method, routeOptions }: FastifyRequest): string[] | undefined {
  const path = routeOptions.url?.replaceAll(/:(\w+)/g, '{$1}') ?? '';
  const operation = paths[path]?.[method.toLowerCase()];
  return (
    operation &&
    Object.values(operation.responses).flatMap(({ content = {} }) =>
      Object.keys(content['application/problem+json']?.examples ?? {}),
    )
  );
}

/** Reports each error response whose code the OpenAPI document does not list for its route. */
export const documentedErrors = (report: (undocumented: string) => void): FastifyPluginAsync =>
  fp(async (app) => {
    app.addHook('onSend', async (request, reply, payload) => {
      // A client that has left does not get the error.
      if (reply.statusCode < 400 || reply.raw.destroyed) return;
      if (typeof payload !== 'string' || !payload.startsWith('{')) return;
      const { code, instance } = JSON.parse(payload);
      const codes = instance === undefined ? undefined : documentedCodes(request);
      if (codes?.includes(code) === false) report(`${request.method} ${request.routeOptions.url}: ${code}`);
    });
  });
