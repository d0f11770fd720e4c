import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import fastify from 'fastify';
import t from 'tap';
import { requestEnd } from '../../../src/http/plugins/request_end.js';
import { createHttpServer } from '../../../src/http/server/http_server.js';
import { head, RawClient } from '../../support/raw_http.js';
import { until } from '../../support/until.js';

async function* endless(): AsyncGenerator<string> {
  for (;;) {
    yield 'x';
    await sleep(10);
  }
}

t.test('each request ends once: complete, or when its client leaves', async (t) => {
  const app = fastify({ serverFactory: (handler) => createHttpServer(handler) });
  t.teardown(() => app.close());
  await app.register(requestEnd);
  const ends: string[] = [];
  app.onRequestEnd(({ url }, { raw }) => ends.push(`${url} ${raw.writableFinished}`));
  app.get('/small', async () => 'x');
  app.get('/endless', async () => Readable.from(endless()));
  const url = await app.listen({ host: '127.0.0.1', port: 0 });

  const reader = new RawClient(url).send(head('GET /small')).send(head('GET /absent'));
  await until(() => ends.length === 2);
  await reader.leave();
  const leaver = new RawClient(url).send(head('GET /endless'));
  await leaver.until(/200 OK/);
  await leaver.reset();
  await until(() => ends.length === 3);
  t.same(ends, ['/small true', '/absent true', '/endless false']);
});
