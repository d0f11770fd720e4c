import type { Server } from 'node:http';
import type { Socket, Server as TcpServer } from 'node:net';

// Every use of an undocumented field of Node is in this file and in src/runtime/pausable_reader.ts. Each field was checked on
// Node 20.20, 22.23 and 24.21; test/http/server/node_internals.test.ts checks the running version.

/**
 * Keeps a request alive after the client closes its half of the connection (`httpAllowHalfOpen`).
 * If Node ignores the field, Node aborts the request of such a client.
 */
export function allowHalfOpen(server: Server): void {
  Object.assign(server, { httpAllowHalfOpen: true });
}

/**
 * Reads nothing from a new connection before its `resume()` (`pauseOnConnect`, an option of net.Server alone). If Node
 * ignores the field, Node buffers up to 64 KiB of it.
 */
export function pauseNewConnections(server: Server): void {
  Object.assign(server, { pauseOnConnect: true });
}

/**
 * The TCP socket below a TLS socket (`_parent`). Undefined if the field is absent: the connection limit can then
 * close a busy TLS connection as if it were idle.
 */
export function tcpSocketOf(tlsSocket: Socket): Socket | undefined {
  return Reflect.get(tlsSocket, '_parent');
}

/**
 * The file descriptor of a connection or a listener (`_handle.fd`). Undefined if it is closed or the field is absent: the
 * worker then detects a disconnected client only when it reads the body, and the kernel buffers more of each response.
 */
export function descriptorOf(socket: Socket | TcpServer): number | undefined {
  const handle: { readonly fd?: unknown } | null | undefined = Reflect.get(socket, '_handle');
  return typeof handle?.fd === 'number' ? handle.fd : undefined;
}

/**
 * The bytes that the kernel has taken for sending on a TCP connection (`_handle.bytesWritten`, `_handle.writeQueueSize`).
 * If a field is absent, a large write counts only when it is complete, so a client that reads it slowly seems stalled.
 */
export function sentBytesOf(tcpSocket: Socket): number {
  const handle: { readonly bytesWritten?: unknown; readonly writeQueueSize?: unknown } | null | undefined = Reflect.get(
    tcpSocket,
    '_handle',
  );
  const { bytesWritten, writeQueueSize } = handle ?? {};
  return typeof bytesWritten === 'number' && typeof writeQueueSize === 'number'
    ? bytesWritten - writeQueueSize
    : tcpSocket.bytesWritten - tcpSocket.writableLength;
}
