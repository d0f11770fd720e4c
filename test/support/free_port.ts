import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below 32768, where Linux begins to choose ports for connections and for servers of port 0. */
const [lowest, end] = [20_000, 32_000];

/** A port of 127.0.0.1 that no process has, and that no process gets without naming it. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(lowest, end);
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}
