import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { WorkerError } from '../../errors.js';
import { invalidParams } from '../errors/to_worker_error.js';
import { hasUnreadBody } from '../server/lingering_close.js';

export const maxJsonBytes = 1024 * 1024;

/** The first error in the head of a request. An unsupported media type comes before everything that is malformed. */
export function headError(request: FastifyRequest): WorkerError | undefined {
  const { raw, headers, routeOptions } = request;
  const { body } = routeOptions.config;
  return (
    mediaTypeError(request) ??
    versionError(raw) ??
    (body === 'bytes' && headers['content-range'] !== undefined
      ? invalidParams('Content-Range is not supported: send the whole shard') // RFC 9110 §14.5
      : undefined) ??
    transferError(raw, headers) ??
    nameError(raw) ??
    sizeError(request)
  );
}

export const tooLong = (): WorkerError => invalidParams(`The JSON body is too large: at most ${maxJsonBytes} bytes`);

function mediaTypeError({ raw, headers, routeOptions }: FastifyRequest): WorkerError | undefined {
  const { body } = routeOptions.config;
  if (headers['content-encoding'] !== undefined) return unsupported('Content-Encoding is not supported');
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (body === 'bytes' && type !== 'application/octet-stream' && (type !== undefined || raw.method !== 'PUT')) {
    return unsupported('The content type is not supported: send the shard as application/octet-stream');
  }
  if (body === undefined && hasUnreadBody(raw) && raw.method !== 'GET' && type !== 'application/json') {
    return unsupported('The content type is not supported: send application/json');
  }
  return undefined;
}

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
const singleHeaders = new Set(['host', 'authorization', 'content-type', 'content-encoding', 'expect']);

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

function sizeError({ raw, headers, routeOptions }: FastifyRequest): WorkerError | undefined {
  const { body } = routeOptions.config;
  if (body === 'none' && hasUnreadBody(raw)) return invalidParams('The body is not allowed on this route');
  if (body === undefined && Number(headers['content-length'] ?? 0) > maxJsonBytes) return tooLong();
  return undefined;
}

const unsupported = (detail: string): WorkerError => new WorkerError('UNSUPPORTED_MEDIA_TYPE', detail);
