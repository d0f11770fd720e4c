import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { WorkerError } from '../../errors.js';
import { invalidParams } from '../errors/to_worker_error.js';
import { sendContinue } from '../server/http_server.js';
import { unread } from '../server/lingering_close.js';
import { noRoute } from './error_handler.js';
import { parseJson } from './strict_json.js';

const maxJsonBytes = 1024 * 1024;
const jsonDeadlineMs = 30_000;

/**
 * What bodies may be: refuses codings, kinds and expectations that the route does not take, and reads JSON, strictly.
 */
export const bodyParsing = fp(async (app: FastifyInstance) => {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', async (_request: FastifyRequest, payload: IncomingMessage) =>
    parseJson(await readAll(payload)),
  );

  app.addHook('preParsing', (request, reply, _payload, done) => {
    if (request.is404) return done(noRoute(request));
    const refusal = refusalOfHead(request);
    if (refusal !== undefined) return done(refusal);
    if (request.routeOptions.config.body === undefined && request.method !== 'GET') {
      sendContinue(request.raw, reply.raw);
    }
    done();
  });

  app.addHook('preValidation', (request, _reply, done) => {
    if (request.routeOptions.config.bodyOptional === true && request.body === undefined) request.body = {};
    done(isDecodable(request.raw.url ?? '') ? undefined : invalidParams('The query cannot be read'));
  });
});

/**
 * What the head of a request says about its body that no route takes; unsupported kinds first, then all that is
 * malformed.
 */
function refusalOfHead({ raw, headers, routeOptions }: FastifyRequest): WorkerError | undefined {
  const { body } = routeOptions.config;
  if (headers['content-encoding'] !== undefined)
    return unsupported('A body is never decompressed: no Content-Encoding');
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  const sends = unread(raw);
  if (body === 'bytes' && type !== 'application/octet-stream' && (type !== undefined || raw.method !== 'PUT')) {
    return unsupported('The shard comes as application/octet-stream');
  }
  if (body === undefined && sends && raw.method !== 'GET' && type !== 'application/json') {
    return unsupported('The body comes as application/json');
  }
  if (raw.httpVersion !== '1.1' && raw.httpVersion !== '1.0') return invalidParams('This is HTTP/1.1');
  if (body === 'bytes' && headers['content-range'] !== undefined) {
    return invalidParams('The shard comes whole: no Content-Range'); // RFC 9110 §14.5
  }
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && raw.httpVersion === '1.0') return invalidParams('HTTP/1.0 knows no transfer codings');
  if (coding !== undefined && coding.toLowerCase() !== 'chunked')
    return invalidParams('The only transfer coding is chunked');
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') {
    return invalidParams('The only expectation is 100-continue');
  }
  const names = refusalOfNames(raw);
  if (names !== undefined) return names;
  if (body === 'none' && sends) return invalidParams('This route takes no body');
  if (body === undefined && Number(headers['content-length'] ?? 0) > maxJsonBytes) return tooLong();
  return undefined;
}

/** A host and perhaps a port (RFC 9110 §7.2, RFC 3986 §3.2.2), without anything that a proxy could read otherwise. */
const hostAndPort = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]*)(?::[0-9]*)?$/;

/** Headers of which Node would take the first, and somebody before us perhaps the last. */
const single = new Set(['host', 'authorization', 'content-type', 'content-encoding', 'expect']);

/** What no two readers may read otherwise stands once; a Host is one (RFC 9112 §3.2). */
function refusalOfNames({ rawHeaders, headers: { host }, httpVersion }: IncomingMessage): WorkerError | undefined {
  const seen = new Set<string>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? '';
    if (!single.has(name)) continue;
    if (seen.has(name)) return invalidParams(`A request has one ${name} header`);
    seen.add(name);
  }
  if (host === undefined) return httpVersion === '1.1' ? invalidParams('A request names its Host') : undefined;
  return hostAndPort.test(host) ? undefined : invalidParams('The Host is none');
}

/** All of a JSON body, within its limits of size and time. */
function readAll(payload: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      payload.off('data', take).off('end', end).off('close', left).off('error', left);
      act();
    };
    const take = (chunk: Buffer): void => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > maxJsonBytes) settle(() => reject(tooLong()));
    };
    const end = (): void => settle(() => resolve(Buffer.concat(chunks)));
    const left = (): void => settle(() => reject(invalidParams('The client left before the end of the body')));
    const late = (): void => settle(() => reject(new WorkerError('UPLOAD_TIMEOUT', 'The JSON body took too long')));
    const timer = setTimeout(late, jsonDeadlineMs);
    payload.on('data', take).once('end', end).once('close', left).once('error', left);
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

const unsupported = (detail: string): WorkerError => new WorkerError('UNSUPPORTED_MEDIA_TYPE', detail);
const tooLong = (): WorkerError => invalidParams(`A JSON body has at most ${maxJsonBytes} bytes`);
