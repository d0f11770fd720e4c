import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import type { FastifyContextConfig, FastifySchema } from 'fastify';
import type { ErrorCode } from '../../errors.js';
import { uploadQuery } from '../schemas/commit.js';
import { ModelRef, ShardId } from '../schemas/common.js';
import { examples } from './examples.js';
import { problemResponses } from './problems.js';

type Transform = NonNullable<FastifyDynamicSwaggerOptions['transform']>;

const shardBytes = {
  'application/octet-stream': { schema: { type: 'string', format: 'binary', description: 'The shard.' } },
};

/** For the `POST` that takes both kinds: what JSON says in its body, bytes say in the query. */
const optionalUploadQuery = {
  ...uploadQuery,
  properties: { ...uploadQuery.properties, shard_id: ShardId, model_ref: ModelRef },
  required: [],
};

/**
 * What the document says of a route, made from what the route runs by: its schema and the errors it names. Uploads are
 * described here alone, since no schema validates their bytes.
 */
export const describeRoute: Transform = ({ schema, url, route: { config = {}, method } }) => {
  if (schema === undefined || schema.hide === true) return { schema: { ...schema, hide: true }, url };
  const { operationId = '', response } = schema;
  const answers: Record<string, object> = {
    ...withExamples(response, operationId),
    ...problemResponses(errorsOf(url, method === 'GET' ? 'none' : config.body, config)),
  };
  const described: FastifySchema = { ...schema, response: answers };
  if (config.body === 'bytes') described.body = { content: shardBytes };
  if (operationId === 'commit') {
    described.querystring = optionalUploadQuery;
    described.body = { content: { 'application/json': { schema: schema.body }, ...shardBytes } };
  }
  return { schema: described, url };
};

/** The refusals that every route of its kind can give, and those of its own. */
function errorsOf(
  url: string,
  body: FastifyContextConfig['body'],
  { errors = [], rateLimit, access }: FastifyContextConfig,
): ErrorCode[] {
  const codes: ErrorCode[] = ['INVALID_PARAMS', 'UNSUPPORTED_MEDIA_TYPE'];
  if (!url.startsWith('/v1')) return [...codes, ...errors];
  if (access !== 'public') codes.push('AUTH_FAILED');
  if (access === undefined) codes.push('FORBIDDEN');
  if (body !== 'none') codes.push('UPLOAD_TIMEOUT');
  // Failed authentications are limited where requests are not.
  if (rateLimit !== false || access !== 'public') codes.push('RATE_LIMITED');
  // What needs the devices to be up needs a driver that lives.
  if (errors.includes('STARTING')) codes.push('CUDA_ERROR');
  return [...codes, ...errors, 'INTERNAL'];
}

type Answers = Record<string, { readonly content?: Record<string, object> }>;

function withExamples(response: unknown, operationId: string): Answers {
  const named = examples[operationId]?.responses ?? {};
  return Object.fromEntries(
    Object.entries(response as Answers).map(([status, answer]) => {
      if (answer.content === undefined) return [status, answer];
      const content = Object.entries(answer.content).map(([type, media]) => [
        type,
        { ...media, example: named[status] },
      ]);
      return [status, { ...answer, content: Object.fromEntries(content) }];
    }),
  );
}
