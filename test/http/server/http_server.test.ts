import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { answerClientError } from '../../../src/http/server/client_error.js';
import { createHttpServer, type HttpServerOptions } from '../../../src/http/server/http_server.js';
import { head, lastBody, RawClient } from '../../support/raw_http.js';

/** A listener with limits that a test can wait for. */
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

t.test('a head that does not come to its end is answered and let go, and so is one that never begins', async (t) => {
  const url = await listen(t, hello, { headersTimeoutMs: 100 });
  const slow = new RawClient(url).send(head('GET /').slice(0, -4));
  const heard = await slow.whole();
  t.match(heard, /^HTTP\/1.1 408 /);
  t.equal(lastBody(heard).code, 'UPLOAD_TIMEOUT');
  await new RawClient(url).closed;
  t.pass('a connection without a byte is closed');
});

t.test('who does not read an answer is let go; who waits for one is not', async (t) => {
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
  while (reader.heard.length < large.length) await new Promise((resolve) => setTimeout(resolve, 10));
  t.pass('a reader reads all');
  for (let n = 0; n < 20; n++) await new Promise((resolve) => setTimeout(resolve, 50));
  for (const answer of waiting) answer();
  t.match(await patient.until(/late/), /200 OK/);
  await deaf.resume().whole();
  t.ok(deaf.heard.length < large.length, 'the one who did not read was cut off');
});

t.test('where connections are at their limit, the one that has waited longest goes', async (t) => {
  const holding: (() => void)[] = [];
  const handler: RequestListener = ({ url }, response) => {
    if (url === '/hold') holding.push(() => response.end('{"held":true}'));
    else response.end('{}');
  };
  const url = await listen(t, handler, { maxConnections: 4 });
  const busy = new RawClient(url).send(head('GET /hold'));
  while (holding.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const slow: RawClient[] = [];
  for (let n = 0; n < 8; n++) {
    slow.push(new RawClient(url).send('GET / HTTP/1.1\r\n'));
    const poller = new RawClient(url).send(head('GET /'));
    t.match(await poller.until(/\{\}/), /200 OK/, `a newcomer is served, ${n}`);
    await poller.leave();
  }
  await Promise.all(slow.slice(0, 4).map((client) => client.closed));
  for (const answer of holding) answer();
  t.match(await busy.until(/held/), /200 OK/, 'and so is the one at work');
});
