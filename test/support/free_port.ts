import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below 32768, where Linux begins to choose ports for connections and for servers of port 0. This assumes the default of
 * /proc/sys/net/ipv4/ip_local_port_range.
 */
const [lowest, end] = [20_000, 32_000];

/** A port of 127.0.0.1 that no process has, and that no process gets without naming it. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(lowest, end);
    const server = createServer().listen(port, '127.0.0.1');
    const error = await once(server, 'listening').then(
      () => undefined,
      (failure: NodeJS.ErrnoException) => failure,
    );
    if (error?.code === 'EADDRINUSE') continue;
    if (error !== undefined) throw error;
    server.close();
    await once(server, 'close');
    return port;
  }
  throw new Error(`no free port from ${lowest} to ${end - 1} in 100 attempts`);
}
