import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { WorkerClient } from '../../../src/commands/client/worker_client.js';
import { TusClient } from '../../../src/commands/push/tus_client.js';

t.test('if all bytes arrived before the connection ended, a request without bytes waits for the seal', async (t) => {
  const heads: object[] = [];
  const server = createServer(({ method, headers }, response) => {
    heads.push({ method, length: headers['content-length'], offset: headers['upload-offset'] });
    response.writeHead(204, { 'upload-offset': '100', location: '/v1/shards/a' }).end();
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const client = new TusClient(new WorkerClient({ url, token: undefined, tls: {} }), new AbortController().signal);
  const file = { path: 'm.gguf', name: 'm.gguf', bytes: 100 };
  t.same(await client.send('id', file, 100, () => undefined), { offset: 100, isSealed: true });
  t.same(heads, [{ method: 'PATCH', length: '0', offset: '100' }]);
});
