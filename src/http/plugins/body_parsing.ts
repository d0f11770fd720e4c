import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { WorkerError } from '../../errors.js';
import { invalidParams } from '../errors/to_worker_error.js';
import { sendContinue } from '../server/http_server.js';
import { headError, maxJsonBytes, tooLong } from './body_head.js';
import { noRoute } from './error_handler.js';
import { parseJson } from './strict_json.js';

const jsonTimeoutMs = 30_000;

/** Checks the headers that describe a body, and parses JSON bodies strictly. */
export const bodyParsing = fp(async (app: FastifyInstance) => {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', async (_request: FastifyRequest, payload: IncomingMessage) =>
    parseJson(await readAll(payload)),
  );

  app.addHook('preParsing', (request, reply, _payload, done) => {
    if (request.is404) return done(noRoute(request));
    const error = headError(request);
    if (error !== undefined) return done(error);
    if (request.routeOptions.config.body === undefined && request.method !== 'GET') {
      sendContinue(request.raw, reply.raw);
    }
    done();
  });

  app.addHook('preValidation', (request, _reply, done) => {
    if (request.routeOptions.config.bodyOptional === true && request.body === undefined) request.body = {};
    done(isDecodable(request.raw.url ?? '') ? undefined : invalidParams('The query cannot be decoded'));
  });
});

/** Reads a whole JSON body, within its limits of size and time. */
function readAll(payload: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      payload.off('data', onData).off('end', onEnd).off('close', onDisconnect).off('error', onDisconnect);
      act();
    };
    const fail = (error: WorkerError): void => settle(() => reject(error));
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > maxJsonBytes) fail(tooLong());
    };
    const onEnd = (): void => settle(() => resolve(Buffer.concat(chunks)));
    const onDisconnect = (): void => fail(invalidParams('The client disconnected before the end of the body'));
    const onTimeout = (): void => fail(new WorkerError('UPLOAD_TIMEOUT', 'The JSON body timed out'));
    const timer = setTimeout(onTimeout, jsonTimeoutMs);
    payload.on('data', onData).once('end', onEnd).once('close', onDisconnect).once('error', onDisconnect);
  });
}

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
