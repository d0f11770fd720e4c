import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { WorkerError } from '../../errors.js';
import { invalidParams } from '../errors/to_worker_error.js';

/** The media type of the bytes of a tus request. */
const partType = 'application/offset+octet-stream';

export const maxJsonBytes = 1024 * 1024;

/** The first error in the head of a request. An unsupported media type comes before everything that is malformed. */
export function headError(request: FastifyRequest): WorkerError | undefined {
  const { raw, headers, routeOptions } = request;
  const { body } = routeOptions.config;
  return (
    mediaTypeError(request) ??
    versionError(raw) ??
    ((body === 'bytes' || body === 'part') && headers['content-range'] !== undefined
      ? invalidParams('Content-Range is not supported: send the whole shard') // RFC 9110 §14.5
      : undefined) ??
    transferError(raw, headers) ??
    nameError(raw) ??
    sizeError(request)
  );
}

export const tooLong = (): WorkerError => invalidParams(`The JSON body is too large: at most ${maxJsonBytes} bytes`);

function mediaTypeError({ raw, headers, routeOptions }: FastifyRequest): WorkerError | undefined {
  const { body, bodyOptional } = routeOptions.config;
  if (headers['content-encoding'] !== undefined)
    return unsupported('Content-Encoding is not supported: send the bytes uncompressed');
  const type = mediaTypeOf(headers);
  if (body === 'bytes' && type !== 'application/octet-stream' && (type !== undefined || raw.method !== 'PUT')) {
    return unsupported('The content type is not supported: send the shard as application/octet-stream');
  }
  if (body === 'part' && type !== partType && (raw.method === 'PATCH' || declaredBodyOf(headers) !== 'none')) {
    return unsupported(`The content type is not supported: send the bytes as ${partType}`);
  }
  if (body !== undefined || raw.method === 'GET' || type === 'application/json') return undefined;
  const declared = declaredBodyOf(headers);
  if (declared === 'none' || (declared === 'unknown' && bodyOptional === true)) return undefined;
  return unsupportedType(bodyOptional === true);
}

/** The media type in `Content-Type`, without its parameters. */
export const mediaTypeOf = (headers: IncomingHttpHeaders): string | undefined =>
  headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();

/** The error for a body of another type than JSON. */
export const unsupportedType = (mayOmit: boolean): WorkerError =>
  unsupported(`The content type is not supported: send application/json${mayOmit ? ', or no body' : ''}`);

/** Whether the head declares a body. A chunked body may turn out to be empty. */
export function declaredBodyOf(headers: IncomingHttpHeaders): 'none' | 'some' | 'unknown' {
  if (headers['transfer-encoding'] !== undefined) return 'unknown';
  return Number(headers['content-length'] ?? 0) === 0 ? 'none' : 'some';
}

export const bodyNotAllowed = (): WorkerError => invalidParams('The body is not allowed on this route');

const versionError = ({ httpVersion }: IncomingMessage): WorkerError | undefined =>
  httpVersion === '1.1' || httpVersion === '1.0'
    ? undefined
    : invalidParams('The HTTP version is not supported: use HTTP/1.1');

function transferError({ httpVersion }: IncomingMessage, headers: IncomingHttpHeaders): WorkerError | undefined {
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && httpVersion === '1.0') {
    return invalidParams('Transfer-Encoding is not supported in HTTP/1.0');
  }
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    return invalidParams('The transfer coding is not supported: use chunked');
  }
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') {
    return invalidParams('The Expect header is not supported: use 100-continue');
  }
  return undefined;
}

/** A host and an optional port (RFC 9110 §7.2, RFC 3986 §3.2.2), without characters that a proxy may read differently. */
const hostAndPort = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]*)(?::[0-9]*)?$/;

/** If one of these occurs twice, Node uses the first and a proxy may use the last. */
const singleHeaders = new Set([
  ...['host', 'authorization', 'content-type', 'content-encoding', 'expect'],
  ...['tus-resumable', 'upload-length', 'upload-offset', 'upload-metadata', 'x-http-method-override'],
]);

/** Refuses headers that two readers can interpret differently, and a missing Host (RFC 9112 §3.2). */
function nameError({ rawHeaders, headers: { host }, httpVersion }: IncomingMessage): WorkerError | undefined {
  const seen = new Set<string>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? '';
    if (!singleHeaders.has(name)) continue;
    if (seen.has(name)) return invalidParams(`The ${name} header is repeated`);
    seen.add(name);
  }
  if (host === undefined) return httpVersion === '1.1' ? invalidParams('The Host header is missing') : undefined;
  return hostAndPort.test(host) ? undefined : invalidParams('The Host header is invalid');
}

function sizeError({ headers, routeOptions }: FastifyRequest): WorkerError | undefined {
  const { body } = routeOptions.config;
  if (body === 'none' && declaredBodyOf(headers) === 'some') return bodyNotAllowed();
  if (body === undefined && Number(headers['content-length'] ?? 0) > maxJsonBytes) return tooLong();
  return undefined;
}

const unsupported = (detail: string): WorkerError => new WorkerError('UNSUPPORTED_MEDIA_TYPE', detail);
