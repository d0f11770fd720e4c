import http from 'node:http';
import https from 'node:https';
import { expectNone, parseArguments } from './arguments.js';
import { authorityOf, localAddress } from './client/worker_address.js';
import type { DocumentedCommand } from './command.js';
import { healthHelp } from './help.js';

/** The exit statuses of `health`. */
const statuses = { healthy: 0, unhealthy: 1 } as const;

const timeoutMs = 2500;

async function run(args: readonly string[]): Promise<number> {
  expectNone(parseArguments(args, {}).positionals);
  const { host, port, isSecure } = localAddress(process.env);
  const alive = await answers({
    host,
    port,
    path: '/livez',
    secure: isSecure,
    // This command has no client certificate, so the worker's half of the handshake must suffice.
    handshakeSuffices: isSet('WORKER_TLS_CLIENT_CA_FILE'),
  });
  if (alive) return statuses.healthy;
  process.stderr.write(`vram-worker: the worker at ${authorityOf(host, port)} does not respond\n`);
  return statuses.unhealthy;
}

/** `vram-worker health`: asks `/livez` of the worker with the same environment. Containers use it as health check. */
export const health: DocumentedCommand = { run, help: healthHelp };

interface Probe {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly secure: boolean;
  readonly handshakeSuffices: boolean;
}

async function answers({ secure, handshakeSuffices, ...target }: Probe): Promise<boolean> {
  // The certificate need not name this host. The request holds no secret.
  const request = secure
    ? https.get({ ...target, agent: false, rejectUnauthorized: false, minVersion: 'TLSv1.3' })
    : http.get({ ...target, agent: false });
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
