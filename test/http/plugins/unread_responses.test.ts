import { once } from 'node:events';
import fastify from 'fastify';
import t from 'tap';
import { unreadResponses } from '../../../src/http/plugins/unread_responses.js';
import { createHttpServer } from '../../../src/http/server/http_server.js';
import { head, RawClient } from '../../support/raw_http.js';
import { until } from '../../support/until.js';

t.test('a response does not count after its client has left', async (t) => {
  const app = fastify({ serverFactory: (handler) => createHttpServer(handler) });
  t.teardown(() => app.close());
  await app.register(unreadResponses);
  let isWaiting = false;
  let isSent = false;
  app.get('/', async (_request, reply) => {
    isWaiting = true;
    await once(reply.raw, 'close');
    return 'x'.repeat(100_000);
  });
  app.addHook('onSend', (_request, _reply, payload, done) => {
    isSent = true;
    done(null, payload);
  });
  const client = new RawClient(await app.listen({ host: '127.0.0.1', port: 0 })).send(head('GET /'));
  await until(() => isWaiting);
  await client.reset();
  await until(() => isSent);
  t.equal(app.unreadResponseBytes, 0);
});
