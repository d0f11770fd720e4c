import { filePath, hostAndPort, integer, onOrOff } from './parse.js';
import type { Setting } from './setting.js';

/** The settings of the listener, of connections and of TLS. */
export const network = {
  bindAddress: {
    name: 'WORKER_BIND_ADDR',
    type: hostAndPort,
    default: '127.0.0.1:8001',
    doc: 'The address on which the worker listens.',
  },
  headersTimeoutSeconds: {
    name: 'WORKER_HEADERS_TIMEOUT_SECONDS',
    type: integer(1, 300, 'seconds'),
    default: 15,
    doc: 'The time limit for the headers of a request, and for a TLS handshake.',
  },
  keepaliveSeconds: {
    name: 'WORKER_KEEPALIVE_SECONDS',
    type: integer(1, 3600, 'seconds'),
    default: 75,
    doc: 'How long an idle connection stays open. Set it above the idle timeout of a load balancer.',
  },
  uploadIdleSeconds: {
    name: 'WORKER_UPLOAD_IDLE_SECONDS',
    type: integer(1, 3600, 'seconds'),
    default: 30,
    doc: 'The worker ends an upload that stalls, or is slower than 1 KiB/s, for this time.',
  },
  uploadMinBytesPerSecond: {
    name: 'WORKER_UPLOAD_MIN_BYTES_PER_SECOND',
    type: integer(0, 1_000_000_000, 'bytes per second'),
    default: 65_536,
    doc: 'While a commit waits for a slot, the worker ends uploads that were slower for 30 seconds. 0 turns it off.',
  },
  uploadResumeSeconds: {
    name: 'WORKER_UPLOAD_RESUME_SECONDS',
    type: integer(1, 86_400, 'seconds'),
    default: 60,
    doc: 'How long a resumable upload keeps its memory while its client sends nothing.',
  },
  requestsPerSecond: {
    name: 'WORKER_REQUESTS_PER_SECOND',
    type: integer(1, 1_000_000, 'requests per second'),
    default: 1000,
    doc: 'The rate limit of each token.',
  },
  connectionsPerAddress: {
    name: 'WORKER_CONNECTIONS_PER_ADDRESS',
    type: integer(1, 1_000_000),
    unset: 'half of all connections',
    doc: 'The maximum number of connections of one address, such as a proxy, or of one IPv6 /64 network.',
  },
  readyPublic: {
    name: 'WORKER_READY_PUBLIC',
    type: onOrOff,
    default: 'off',
    doc: 'If on, `GET /v1/ready` does not need a token.',
  },
  tlsCertFile: {
    name: 'WORKER_TLS_CERT_FILE',
    type: filePath,
    unset: 'plain HTTP',
    doc: 'The TLS certificate in PEM. Requires `WORKER_TLS_KEY_FILE`.',
  },
  tlsKeyFile: {
    name: 'WORKER_TLS_KEY_FILE',
    type: filePath,
    unset: 'plain HTTP',
    doc: 'The private key of the TLS certificate in PEM. Requires `WORKER_TLS_CERT_FILE`.',
  },
  tlsClientCaFile: {
    name: 'WORKER_TLS_CLIENT_CA_FILE',
    type: filePath,
    unset: 'no client certificates',
    doc: 'The CAs of client certificates in PEM. If set, each client needs one. Requires TLS.',
  },
} satisfies Record<string, Setting>;
