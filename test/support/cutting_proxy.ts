import { connect, createServer, type Server, type Socket } from 'node:net';

/** How many bytes a connection may carry before the proxy resets it; undefined for no limit. */
export interface Budget {
  readonly toServer?: number | undefined;
  readonly toClient?: number | undefined;
}

/** A TCP proxy on 127.0.0.1 that resets connections after some bytes. */
export class CuttingProxy {
  readonly url: string;
  cuts = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** `nextBudget` is called for each connection. */
  static async start(target: string, nextBudget: () => Budget): Promise<CuttingProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const proxy = new CuttingProxy(server, address.port);
    server.on('connection', (client) => proxy.#join(client, Number(new URL(target).port), nextBudget()));
    return proxy;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, port: number, { toServer, toClient }: Budget): void {
    const server = connect(port, '127.0.0.1');
    const cut = () => {
      if (client.destroyed) return;
      this.cuts++;
      client.resetAndDestroy();
      server.resetAndDestroy();
    };
    this.#copy(client, server, toServer, cut);
    this.#copy(server, client, toClient, cut);
  }

  #copy(from: Socket, to: Socket, budget: number | undefined, cut: () => void): void {
    let left = budget ?? Number.POSITIVE_INFINITY;
    this.#sockets.add(from);
    from
      .on('error', () => undefined)
      .on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    from.on('end', () => to.end());
    from.on('data', (chunk: Buffer) => {
      const part = chunk.subarray(0, left);
      left -= part.length;
      if (!to.write(part)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
      if (left === 0) cut();
    });
  }
}
