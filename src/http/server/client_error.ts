import type { Socket } from 'node:net';
import { WorkerError } from '../../errors.js';
import { problemHeaders, problemOf } from '../errors/problem.js';
import { invalidParams } from '../errors/to_worker_error.js';
import { connectionOf, requestState } from './request_state.js';

/**
 * Responds to bytes that Node cannot parse as a request, and closes the connection. Earlier requests on the connection
 * get their responses first. If the bytes belong to a request whose response has begun, it closes immediately.
 */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  const connection = connectionOf(socket);
  const response = connection.latest;
  const isGone = error.code === 'ECONNRESET' || !socket.writable || connection.handshakeFailed;
  connection.markInvalid();
  // Bytes behind a request with `Connection: close`, whose response closes the connection (RFC 9112 §9.6).
  if (error.code === 'HPE_CLOSED_CONNECTION' && socket.writable) return;
  const isSameRequest = response !== undefined && !response.req.complete && !requestState(response.req).bodyConsumed;
  if (isGone || (isSameRequest && response.headersSent)) socket.destroy();
  else if (isSameRequest || !connection.isAnswering) sendProblem(error, socket);
  else response?.once('finish', () => sendProblem(error, socket));
}

function sendProblem(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable) return void socket.destroy();
  const problem = problemOf(parserToWorkerError(error.code));
  const body = JSON.stringify(problem);
  const headers = {
    ...problemHeaders(problem),
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const phrase = problem.status === 408 ? 'Request Timeout' : 'Bad Request';
  socket.end(`HTTP/1.1 ${problem.status} ${phrase}\r\n${head.join('')}\r\n${body}`, () => socket.destroy());
}

function parserToWorkerError(code: string | undefined): WorkerError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new WorkerError('UPLOAD_TIMEOUT', 'The request head timed out');
  }
  if (code === 'HPE_HEADER_OVERFLOW') return invalidParams('The request head is too large');
  return invalidParams('The request is not valid HTTP');
}
