import http from 'node:http';
import https from 'node:https';
import { bindAddress } from '../config/settings.js';
import { type Command, UsageError } from './command.js';

/** Exit statuses of the command. */
const statuses = { healthy: 0, unhealthy: 1 } as const;

/** A worker that has not answered by now does not. */
const timeoutMs = 2500;

/** Addresses that a worker listens on, and nobody can be asked at. */
const wildcards = new Map([
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
]);

/** `vram-worker health`: whether the worker that has this environment answers `/livez`, as it speaks: for containers. */
export const health: Command = async (args) => {
  if (args.length > 0) throw new UsageError('health takes no arguments');
  const { host, port } = bindAddress(process.env);
  const alive = await answers({
    host: wildcards.get(host) ?? host,
    port,
    path: '/livez',
    secure: isSet('WORKER_TLS_CERT_FILE'),
    // Where a certificate is asked for that this command does not have, the worker's half of the handshake is an answer.
    handshakeSuffices: isSet('WORKER_TLS_CLIENT_CA_FILE'),
  });
  return alive ? statuses.healthy : statuses.unhealthy;
};

interface Question {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly secure: boolean;
  readonly handshakeSuffices: boolean;
}

async function answers({ secure, handshakeSuffices, ...where }: Question): Promise<boolean> {
  // The certificate is for those who come from outside, by names that this host need not have. Nothing secret is sent.
  const request = secure
    ? https.get({ ...where, agent: false, rejectUnauthorized: false, minVersion: 'TLSv1.3' })
    : http.get({ ...where, agent: false });
  const alive = await new Promise<boolean>((resolve) => {
    request.once('response', ({ statusCode }) => resolve(statusCode === 200));
    request.on('error', () => resolve(false));
    request.setTimeout(timeoutMs, () => resolve(false));
    if (handshakeSuffices) request.once('socket', (socket) => socket.once('secureConnect', () => resolve(true)));
  });
  request.destroy();
  return alive;
}

const isSet = (name: string): boolean => (process.env[name] ?? '') !== '';
