import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { invalidParams } from '../errors/to_worker_error.js';
import { sendContinue } from '../server/http_server.js';
import { bodyNotAllowed, declaredBodyOf, headError, mediaTypeOf, unsupportedType } from './body_head.js';
import { clientKeyOf } from './client_key.js';
import { noRoute } from './error_handler.js';
import { JsonBodies } from './json_body.js';
import { parseJson } from './strict_json.js';

/** Checks the headers that describe a body, and parses JSON bodies strictly. */
export const bodyParsing = fp(async (app: FastifyInstance) => {
  const bodies = new JsonBodies();
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', async (request: FastifyRequest, payload: IncomingMessage) =>
    parseJson(await bodies.read(payload, clientKeyOf(request))),
  );
  // Bodies of other types come here only if they may turn out to be empty.
  app.addContentTypeParser('*', async (request: FastifyRequest, payload: IncomingMessage) => {
    const { length } = await bodies.read(payload, clientKeyOf(request));
    if (length > 0 && request.routeOptions.config.body === undefined) throw unsupportedType(true);
    return length > 0 ? {} : undefined;
  });

  app.addHook('preParsing', (request, reply, _payload, done) => {
    if (request.is404) return done(noRoute(request));
    const error = headError(request);
    if (error !== undefined) return done(error);
    const { body } = request.routeOptions.config;
    if (body === 'bytes' || body === 'part') return done();
    const { headers } = request.raw;
    const isJson = declaredBodyOf(headers) !== 'none' && mediaTypeOf(headers) === 'application/json';
    // Fastify looks for a parser of the content type even if there is no body.
    if (!isJson && headers['content-type'] !== undefined) delete headers['content-type'];
    const ignoresBody = isIgnored(request);
    if (request.method !== 'GET' || ignoresBody) sendContinue(request.raw, reply.raw);
    if (!ignoresBody) return done();
    bodies
      .read(request.raw, clientKeyOf(request))
      .then(({ length }) => done(length === 0 ? undefined : bodyNotAllowed()), done);
  });

  app.addHook('preValidation', (request, _reply, done) => {
    const { body, bodyOptional } = request.routeOptions.config;
    if (body === 'none' && request.body !== undefined) return done(bodyNotAllowed());
    if (bodyOptional === true && request.body === undefined) request.body = {};
    done(isDecodable(request.raw.url ?? '') ? undefined : invalidParams('The query cannot be decoded'));
  });
});

/**
 * Whether no route reads the body, which may turn out to be empty. While a long poll waits, chunks of one byte would take 200
 * times their length in Node's buffers.
 */
const isIgnored = ({ method, headers }: FastifyRequest): boolean =>
  method === 'GET' && declaredBodyOf(headers) === 'unknown';

function isDecodable(url: string): boolean {
  const query = url.indexOf('?');
  if (query < 0 || !url.includes('%', query)) return true;
  try {
    decodeURIComponent(url.slice(query + 1));
    return true;
  } catch {
    return false;
  }
}
