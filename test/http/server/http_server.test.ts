import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { answerClientError } from '../../../src/http/server/client_error.js';
import { createHttpServer, type HttpServerOptions } from '../../../src/http/server/http_server.js';
import { head, lastBody, RawClient } from '../../support/raw_http.js';

/** Starts a server with limits that are short enough for a test. */
async function listen(t: Test, handler: RequestListener, options: Partial<HttpServerOptions>): Promise<string> {
  const server = createHttpServer(handler, options);
  server.on('clientError', answerClientError);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const hello: RequestListener = (_request, response) => void response.end('{}');

t.test('a request head that times out gets 408, and a silent connection is closed', async (t) => {
  const url = await listen(t, hello, { headersTimeoutMs: 100 });
  const slow = new RawClient(url).send(head('GET /').slice(0, -4));
  const heard = await slow.whole();
  t.match(heard, /^HTTP\/1.1 408 /);
  t.equal(lastBody(heard).code, 'UPLOAD_TIMEOUT');
  await new RawClient(url).closed;
  t.pass('a connection that sends nothing is closed');
});

t.test('an idle connection stays open for the keep-alive time, whatever the limit of silence', async (t) => {
  const brief = await listen(t, hello, { keepaliveMs: 100 });
  t.match(await new RawClient(brief).send(head('GET /')).whole(), /^HTTP\/1.1 200 /);
  const long = await listen(t, hello, { keepaliveMs: 60_000, silentTimeoutMs: 100 });
  const idle = new RawClient(long).send(head('GET /'));
  await idle.until(/\{\}$/);
  await new RawClient(long).closed;
  idle.send(head('GET /', { Connection: 'close' }));
  t.match(await idle.whole(), /^HTTP\/1.1 200 .*HTTP\/1.1 200 /s);
});

t.test('a request with more than 200 header fields is refused, also behind another one', async (t) => {
  const url = await listen(t, hello, {});
  const request = (fields: number): string =>
    head('GET /', Object.fromEntries(Array.from({ length: fields - 2 }, (_, n) => [`x-${n}`, 1])));
  const heard = await new RawClient(url).send(request(200) + request(201)).whole();
  t.match(heard, /^HTTP\/1.1 200 .*HTTP\/1.1 400 /s);
  t.match(lastBody(heard), { code: 'INVALID_PARAMS' });
});
