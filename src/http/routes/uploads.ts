import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ErrorCode } from '../../errors.js';
import type { UploadStatus } from '../../uploads/status.js';
import { invalidParams } from '../errors/to_worker_error.js';
import { declaredBodyOf } from '../plugins/body_head.js';
import { Commit, type ResumableQuery, resumableQuery } from '../schemas/commit.js';
import { NoQuery } from '../schemas/common.js';
import { jsonResponse } from '../schemas/response.js';
import { requestHeaders, uploadParams, uploadResponses } from '../schemas/upload.js';
import { BodySender, type SenderLimits } from '../upload/body_sender.js';
import { statusHeaders, tusCapabilities, tusVersion, tusVersionError, uploadOffsetOf } from '../upload/tus_headers.js';
import { uploadCreationOf } from '../upload/upload_creation.js';
import { actorOf } from './actor.js';
import { commitErrors, sendCommit } from './commit.js';
import { earlyParser, type RouteOptions } from './route_options.js';

const tags = ['uploads'];
const oneUpload = { tags, querystring: NoQuery, params: uploadParams };

/** A failed upload returns the error of its commit. */
const endErrors: readonly ErrorCode[] = [...commitErrors, 'UPLOAD_EXPIRED'];

interface OneUpload {
  Params: { upload_id: string };
}
type CreateRequest = FastifyRequest<{ Querystring: ResumableQuery }>;

/** `/v1/uploads`: uploads that continue after a lost connection (tus 1.0). */
export async function resumableUploadRoutes(app: FastifyInstance, options: RouteOptions): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers({ 'tus-resumable': tusVersion, 'tus-version': tusVersion });
    const isTus = request.method !== 'OPTIONS' && request.method !== 'GET';
    done(isTus ? tusVersionError(request.headers) : undefined);
  });
  capabilities(app, options);
  createUpload(app, options);
  getUpload(app, options);
  sendBytes(app, options);
  endUpload(app, options);
}

function capabilities(app: FastifyInstance, { config }: RouteOptions): void {
  const route = {
    schema: {
      operationId: 'uploadCapabilities',
      summary: 'Get the supported version and extensions of tus',
      tags,
      querystring: NoQuery,
      response: uploadResponses.capabilities,
    },
    config: { access: 'read' as const, body: 'none' as const },
    handler: async (_request: FastifyRequest, reply: FastifyReply) =>
      reply.code(204).headers(tusCapabilities(config.maxModelBytes)).send(undefined),
  };
  app.options('/uploads', route);
  app.options('/uploads/:upload_id', { ...route, schema: { ...route.schema, hide: true, params: uploadParams } });
}

function createUpload(app: FastifyInstance, { uploads, config }: RouteOptions): void {
  const creation = earlyParser((request: CreateRequest) =>
    uploadCreationOf(request.query, request.headers, request.getValidationFunction('querystring')),
  );
  app.post<{ Querystring: ResumableQuery }>('/uploads', {
    schema: {
      operationId: 'createUpload',
      summary: 'Create a resumable upload',
      description:
        'Takes the memory of the shard. The fields are in the query, in `Upload-Metadata`, or in both. With an ' +
        'expected digest, the same request again returns the same upload while it is open. A body is the first part.',
      tags,
      querystring: resumableQuery,
      response: uploadResponses.created,
    },
    config: {
      body: 'part',
      headers: requestHeaders.create,
      errors: [...commitErrors, 'TUS_VERSION_UNSUPPORTED'],
    },
    preHandler: creation.preHandler,
    handler: async (request, reply) => {
      const { upload, isNew } = await uploads.create(creation.of(request), actorOf(request));
      // The client of an upload that is not new continues at its offset.
      const hasBody = isNew && declaredBodyOf(request.headers) !== 'none';
      const status = hasBody ? await receive(request, reply, { upload, offset: 0, config }) : upload.status();
      const headers = { ...statusHeaders(status), location: `/v1/uploads/${upload.uploadId}` };
      return reply.code(201).headers(headers).send(undefined);
    },
  });
}

function getUpload(app: FastifyInstance, { uploads, residency }: RouteOptions): void {
  const handler = async (request: FastifyRequest<OneUpload>, reply: FastifyReply) =>
    reply.headers(statusHeaders(uploads.require(request.params.upload_id).status())).send(undefined);
  app.head<OneUpload>('/uploads/:upload_id', {
    schema: {
      ...oneUpload,
      operationId: 'getUploadOffset',
      summary: 'Get the offset of an upload',
      response: uploadResponses.status,
    },
    config: {
      swagger: { exposeHeadRoute: true },
      access: 'read',
      body: 'none',
      headers: requestHeaders.any,
      errors: [...endErrors, 'TUS_VERSION_UNSUPPORTED'],
    },
    handler,
  });
  app.get<OneUpload>('/uploads/:upload_id', {
    schema: {
      ...oneUpload,
      operationId: 'getUpload',
      summary: 'Get the outcome of an upload',
      description:
        'The response of the commit, or its error. The worker keeps it for 10 minutes, for the newest 1024 uploads. The ' +
        'request waits for up to 30 seconds while the worker seals the shard. Before that it gets 409 `SHARD_BUSY`.',
      response: { 200: jsonResponse(Commit, 'The shard is sealed: its handle.') },
    },
    exposeHeadRoute: false,
    config: { access: 'read', errors: endErrors },
    handler: async (request, reply) => {
      const result = await uploads.require(request.params.upload_id).result();
      return sendCommit(reply, { ...result, created: false }, residency);
    },
  });
}

function sendBytes(app: FastifyInstance, { uploads, config }: RouteOptions): void {
  const offset = earlyParser((request: FastifyRequest<OneUpload>) => uploadOffsetOf(request.headers));
  const schema = {
    ...oneUpload,
    operationId: 'sendUploadBytes',
    summary: 'Send bytes of an upload',
    description:
      'The request with the last byte gets its response after the seal. A newer request on the same upload closes the ' +
      'connection of an older one.',
    response: uploadResponses.sent,
  };
  const route = {
    config: {
      body: 'part' as const,
      headers: requestHeaders.send,
      errors: [...commitErrors, ...endErrors, 'UPLOAD_OFFSET', 'TUS_VERSION_UNSUPPORTED'] as const,
    },
    preHandler: offset.preHandler,
    handler: async (request: FastifyRequest<OneUpload>, reply: FastifyReply) => {
      const upload = uploads.require(request.params.upload_id);
      const status = await receive(request, reply, { upload, offset: offset.of(request), config });
      return reply.code(204).headers(statusHeaders(status)).send(undefined);
    },
  };
  app.patch<OneUpload>('/uploads/:upload_id', { ...route, schema });
  // For clients that cannot send PATCH.
  app.post<OneUpload>('/uploads/:upload_id', {
    ...route,
    schema: { ...schema, hide: true },
    preHandler: (request, reply, done) => {
      if (request.headers['x-http-method-override'] === 'PATCH') return offset.preHandler(request, reply, done);
      done(invalidParams('X-HTTP-Method-Override is missing or unsupported: send PATCH'));
    },
  });
}

function endUpload(app: FastifyInstance, { uploads }: RouteOptions): void {
  app.delete<OneUpload>('/uploads/:upload_id', {
    schema: {
      ...oneUpload,
      operationId: 'endUpload',
      summary: 'End an upload',
      description:
        'Wipes and frees the memory. If the shard is sealed, only the outcome is forgotten, and the shard stays.',
      response: uploadResponses.ended,
    },
    config: { body: 'none', headers: requestHeaders.any, errors: ['NOT_FOUND', 'TUS_VERSION_UNSUPPORTED'] },
    handler: async (request, reply) => {
      await uploads.terminate(request.params.upload_id);
      return reply.code(204).send(undefined);
    },
  });
}

interface Part {
  readonly upload: ReturnType<RouteOptions['uploads']['require']>;
  readonly offset: number;
  readonly config: SenderLimits;
}

async function receive(
  request: FastifyRequest,
  reply: FastifyReply,
  { upload, offset, config }: Part,
): Promise<UploadStatus> {
  const sender = new BodySender(request, reply, config);
  return upload.receive(offset, sender).finally(() => sender.stop());
}
