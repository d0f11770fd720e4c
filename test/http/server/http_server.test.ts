import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { answerClientError } from '../../../src/http/server/client_error.js';
import { createHttpServer, type HttpServerOptions } from '../../../src/http/server/http_server.js';
import { head, lastBody, RawClient } from '../../support/raw_http.js';
import { until } from '../../support/until.js';

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

t.test('a client that does not read its response is disconnected, one that waits for it is not', async (t) => {
  const waiting: (() => void)[] = [];
  const large = Buffer.alloc(32 * 2 ** 20);
  const handler: RequestListener = ({ url }, response) => {
    if (url === '/large') response.end(large);
    else waiting.push(() => response.end('{"late":true}'));
  };
  const url = await listen(t, handler, { unreadTimeoutMs: 200 });
  const patient = new RawClient(url).send(head('GET /late'));
  const deaf = new RawClient(url).deafen().send(head('GET /large'));
  const reader = new RawClient(url).send(head('GET /large'));
  await until(() => reader.heard.length >= large.length);
  t.pass('a client that reads gets the whole response');
  for (let n = 0; n < 20; n++) await sleep(50);
  for (const answer of waiting) answer();
  t.match(await patient.until(/late/), /200 OK/);
  await deaf.resume().whole();
  t.ok(deaf.heard.length < large.length, 'the client that did not read is disconnected');
});

t.test('at the connection limit the longest idle connection is closed', async (t) => {
  const holding: (() => void)[] = [];
  const handler: RequestListener = ({ url }, response) => {
    if (url === '/hold') holding.push(() => response.end('{"held":true}'));
    else response.end('{}');
  };
  const url = await listen(t, handler, { maxConnections: 4 });
  const busy = new RawClient(url).send(head('GET /hold'));
  await until(() => holding.length > 0);
  const slow: RawClient[] = [];
  for (let n = 0; n < 8; n++) {
    slow.push(new RawClient(url).send('GET / HTTP/1.1\r\n'));
    const poller = new RawClient(url).send(head('GET /'));
    t.match(await poller.until(/\{\}/), /200 OK/, `new connection ${n} gets a response`);
    await poller.leave();
  }
  await Promise.all(slow.slice(0, 4).map((client) => client.closed));
  for (const answer of holding) answer();
  t.match(await busy.until(/held/), /200 OK/, 'the busy connection gets its response');
});
