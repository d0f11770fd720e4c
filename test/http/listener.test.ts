import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { answerClientError, createListener } from '../../src/http/listener.js';
import { head, lastBody, RawClient } from './raw.js';

t.test('a head that does not come to its end is answered and let go', async (t) => {
  const server = createListener((_request, response) => response.end('{}'), {
    headersTimeoutMs: 100,
    checkIntervalMs: 20,
  });
  server.on('clientError', answerClientError);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const slow = new RawClient(url).send(head('GET /').slice(0, -4));
  const heard = await slow.whole();
  t.match(heard, /^HTTP\/1.1 408 /);
  t.equal(lastBody(heard).code, 'UPLOAD_TIMEOUT');
});
