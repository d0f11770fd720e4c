import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import type { FastifyContextConfig, FastifySchema } from 'fastify';
import type { ErrorCode } from '../../errors.js';
import type { QueryType } from '../schemas/make.js';
import { textHeader } from '../schemas/response.js';
import { examples } from './examples.js';
import { problemResponses } from './problems.js';

type Transform = NonNullable<FastifyDynamicSwaggerOptions['transform']>;

const partBytes = {
  'application/offset+octet-stream': {
    schema: { type: 'string', format: 'binary', description: 'Bytes of the shard.' },
  },
};

/** The request header of the routes that respond 304. */
const conditionalHeaders = {
  type: 'object',
  properties: {
    'If-None-Match': textHeader('The `ETag` of an earlier response. While it is the current one, the response is 304.'),
  },
};

const etag = { ETag: textHeader('The state that the response describes, for `If-None-Match`.') };

const shardBytes = {
  'application/octet-stream': { schema: { type: 'string', format: 'binary', description: 'The shard.' } },
};

/**
 * Describes a route from its own schema and its list of errors. The body of an upload is described only here, because no
 * schema validates it.
 */
export const describeRoute: Transform = ({ schema, url, route: { config = {}, method } }) => {
  if (schema === undefined || schema.hide === true) return { schema: { ...schema, hide: true }, url };
  const { operationId = '', response } = schema;
  const isConditional = Object.hasOwn(response ?? {}, 304);
  const responses: Record<string, object> = {
    ...withExamples(response, operationId, isConditional),
    ...problemResponses(errorsOf(url, method === 'GET' ? 'none' : config.body, config)),
  };
  const described: FastifySchema = { ...schema, response: responses, querystring: describeQuery(schema.querystring) };
  // @fastify/swagger adds `-head`, even if the id is unique without it.
  if (method === 'HEAD') Object.assign(described, { operationId: operationId.replace(/-head$/, '') });
  const headers = isConditional ? conditionalHeaders : config.headers;
  if (headers !== undefined) described.headers = headers;
  if (config.body === 'part') described.body = { content: partBytes };
  if (config.body === 'bytes') described.body = { content: shardBytes };
  return { schema: described, url };
};

interface Query {
  readonly properties?: Readonly<Record<string, { readonly query?: QueryType }>>;
}

/** The query with the JSON types of its parameters: clients are generated from `type: integer`, not from a pattern. */
function describeQuery(querystring: unknown): object {
  const { properties = {}, ...rest } = querystring as Query;
  const described = Object.entries(properties).map(([name, { query, ...parameter }]) => [
    name,
    { ...query, ...parameter },
  ]);
  return { ...rest, properties: Object.fromEntries(described) };
}

/** The errors of every route of this kind, and those of this route. */
function errorsOf(
  url: string,
  body: FastifyContextConfig['body'],
  { errors = [], rateLimit, access }: FastifyContextConfig,
): ErrorCode[] {
  const codes: ErrorCode[] = ['INVALID_PARAMS', 'UNSUPPORTED_MEDIA_TYPE'];
  if (!url.startsWith('/v1')) return [...codes, ...(rateLimit === false ? [] : ['RATE_LIMITED' as const]), ...errors];
  if (access !== 'public') codes.push('AUTH_FAILED');
  if (access === undefined) codes.push('FORBIDDEN');
  if (body !== 'none') codes.push('UPLOAD_TIMEOUT');
  // Failed authentications have a limit even if requests have none.
  if (rateLimit !== false || access !== 'public') codes.push('RATE_LIMITED');
  // A route that needs the devices can also meet a driver error.
  if (errors.includes('STARTING')) codes.push('CUDA_ERROR');
  return [...codes, ...errors, 'INTERNAL'];
}

type Responses = Record<string, { readonly content?: Record<string, object>; readonly headers?: object }>;

function withExamples(response: unknown, operationId: string, isConditional: boolean): Responses {
  const named = examples[operationId]?.responses ?? {};
  return Object.fromEntries(
    Object.entries(response as Responses).map(([status, described]) => {
      if (described.content === undefined) return [status, described];
      const content = Object.entries(described.content).map(([type, media]) => [
        type,
        { ...media, example: named[status] },
      ]);
      const headers = { ...(isConditional && status === '200' ? etag : {}), ...described.headers };
      return [status, { ...described, headers, content: Object.fromEntries(content) }];
    }),
  );
}
