import t, { type Test } from 'tap';
import { RepeatedPolls } from '../../../src/http/routes/repeated_polls.js';
import { aliveOf } from '../../support/alive.js';
import { patternBytes } from '../../support/bytes.js';
import { head, RawClient } from '../../support/raw_http.js';
import { get, post, upload } from '../../support/requests.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** The request did not pass through Fastify. */
  readonly isRepeated: boolean;
}

/** A client with one connection. */
class Poller {
  readonly #client: RawClient;
  readonly #repeats: boolean[];

  constructor(t: Test, { url }: TestWorker, repeats: boolean[]) {
    this.#client = new RawClient(url);
    this.#repeats = repeats;
    t.teardown(() => this.#client.reset());
  }

  async ask(text: string): Promise<Answer> {
    const start = this.#client.heard.length;
    this.#client.send(text);
    const heard = () => this.#client.heard.slice(start);
    const lengthOf = (text: string) => Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? 0);
    await until(() => {
      const end = heard().indexOf('\r\n\r\n');
      return end >= 0 && heard().length === end + 4 + lengthOf(heard().slice(0, end));
    });
    const [top = '', body = ''] = heard().split('\r\n\r\n');
    const [line = '', ...fields] = top.split('\r\n');
    const headers = new Map(fields.map((field) => [field.split(': ')[0] ?? '', field.slice(field.indexOf(': ') + 2)]));
    return { status: Number(line.split(' ')[1]), headers, body, isRepeated: this.#repeats.at(-1) === true };
  }
}

async function start(t: Test): Promise<{ worker: TestWorker; poller: Poller; repeats: boolean[] }> {
  const repeats: boolean[] = [];
  const { answer } = RepeatedPolls.prototype;
  t.intercept(RepeatedPolls.prototype, 'answer', {
    configurable: true,
    value: function (this: RepeatedPolls, ...args: Parameters<typeof answer>) {
      const isRepeated = answer.apply(this, args);
      repeats.push(isRepeated);
      return isRepeated;
    },
  });
  const worker = await startWorker(t, { listen: true });
  await upload(worker, 'a', patternBytes(10));
  return { worker, poller: new Poller(t, worker, repeats), repeats };
}

const ids = ['x-request-id', 'x-correlation-id'];
const lasting = ({ headers }: Answer) => [...headers].filter(([name]) => !ids.includes(name) && name !== 'Date').sort();

t.test('a repeated poll gets the response of the first one, with its own id', async (t) => {
  const { poller } = await start(t);
  const poll = head('GET /v1/ready');
  const [first, second, third] = [await poller.ask(poll), await poller.ask(poll), await poller.ask(poll)];
  t.same([first.isRepeated, second.isRepeated, third.isRepeated], [false, true, true]);
  t.same(lasting(second), lasting(first));
  t.equal(second.body, first.body);
  t.equal(second.headers.get('x-request-id'), second.headers.get('x-correlation-id'));
  t.equal(new Set([first, second, third].map(({ headers }) => headers.get('x-request-id'))).size, 3);

  const conditional = head('GET /v1/ready', { 'If-None-Match': first.headers.get('etag') });
  const [known, again] = [await poller.ask(conditional), await poller.ask(conditional)];
  t.same([known.status, again.status, known.isRepeated, again.isRepeated], [304, 304, false, true]);
  t.same(lasting(again), lasting(known));
  t.equal(again.body, '');
});

t.test('a repeated poll never gets a response older than the last change', async (t) => {
  const { worker, poller } = await start(t);
  const poll = head('GET /v1/ready');
  const conditional = head('GET /v1/ready', { 'If-None-Match': (await poller.ask(poll)).headers.get('etag') });
  t.equal((await poller.ask(conditional)).status, 304);
  await new Promise((resolve) => setTimeout(resolve, 2));
  await post(worker, '/v1/shards/a/verify');
  const verified = (await get(worker, '/v1/shards/a')).json().last_verified_at;
  for (const text of [poll, conditional]) {
    const { status, body } = await poller.ask(text);
    t.equal(status, 200);
    t.equal(JSON.parse(body).handles[0].shard.last_verified_at, verified);
  }
  worker.residency.drain();
  for (const text of [poll, conditional]) {
    const client = new RawClient(worker.url).send(text);
    await client.closed;
    t.match(client.heard, /^HTTP\/1.1 503 /);
    t.match(client.heard, 'DRAINING');
    t.match(client.heard, /\r\nconnection: close\r\n/i);
  }
});

t.test('a repeated poll with a replaced token is refused', async (t) => {
  const { worker, poller } = await start(t);
  const poll = head('GET /v1/ready');
  await poller.ask(poll);
  t.ok((await poller.ask(poll)).isRepeated);
  worker.tokens.replace([{ token: Buffer.from('another-token-0123456789abcdef0123'), role: 'operator' }]);
  const { status, isRepeated } = await poller.ask(poll);
  t.same([status, isRepeated], [401, false]);
});

t.test('a poll whose token is replaced while it waits for its response is not repeated', async (t) => {
  const { worker, poller } = await start(t);
  const ready = worker.residency.ready.bind(worker.residency);
  worker.residency.ready = async (query) => {
    worker.tokens.replace([{ token: Buffer.from('another-token-0123456789abcdef0123'), role: 'operator' }]);
    return ready(query);
  };
  const poll = head('GET /v1/ready');
  t.equal((await poller.ask(poll)).status, 200, 'its token was valid when it came in');
  t.equal((await poller.ask(poll)).status, 401);
});

t.test('nothing follows the response to a repeated poll that closes the connection', async (t) => {
  const { worker, repeats } = await start(t);
  const poll = head('GET /v1/ready', { Connection: 'close' });
  for (const text of [poll, poll + head('GET /v1/ready')]) {
    const heard = await new RawClient(worker.url).send(text).whole();
    t.equal(heard.split('HTTP/1.1 ').length, 2);
    t.match(heard, /^HTTP\/1.1 200 /);
  }
  t.same(repeats.slice(-2), [false, true]);
});

t.test('polls are remembered without their requests and connections', async (t) => {
  const { worker, poller } = await start(t);
  const responses: WeakRef<object>[] = [];
  worker.app.server.on('request', (_request, response) => responses.push(new WeakRef(response)));
  const polls = Array.from({ length: 16 }, (_, index) => head('GET /v1/ready', { 'User-Agent': `client-${index}` }));
  for (const poll of polls) {
    const client = new RawClient(worker.url).send(poll);
    await client.until(/^HTTP\/1.1 200 /);
    await client.leave();
  }
  t.equal(responses.length, polls.length);
  await until(() => aliveOf(responses) < polls.length / 2);
  t.ok((await poller.ask(polls[0] ?? '')).isRepeated);
});

t.test('a worker that logs each request repeats no poll', async (t) => {
  const lines: string[] = [];
  const worker = await startWorker(t, { listen: true, log: (line) => lines.push(line) });
  await upload(worker, 'a', patternBytes(10));
  const logged = () => lines.filter((line) => line.includes('"route":"/v1/ready"')).length;
  const client = new RawClient(worker.url);
  t.teardown(() => client.reset());
  for (const count of [1, 2, 3]) {
    client.send(head('GET /v1/ready'));
    await until(() => logged() === count);
  }
});

t.test('a request that differs in any byte passes every check', async (t) => {
  const { poller } = await start(t);
  await poller.ask(head('GET /v1/ready'));
  t.equal((await poller.ask(head('GET /v1/ready', { Authorization: 'Bearer wrong' }))).status, 401);
  t.equal((await poller.ask(head('GET /v1/ready?typo=1'))).status, 400);
  t.equal((await poller.ask(head('GET /v1/ready', { 'Content-Encoding': 'gzip' }))).status, 415);
  for (const [query, headers] of [
    ['?nonce=n', {}],
    ['?max_age_seconds=60', {}],
    ['', { 'X-Correlation-Id': 'chain-1' }],
    ['', { 'Content-Length': 0 }],
  ] as const) {
    const text = head(`GET /v1/ready${query}`, headers);
    await poller.ask(text);
    const { status, isRepeated } = await poller.ask(text);
    t.same([status, isRepeated], [200, false], text);
  }
});

t.test('metrics count repeated polls', async (t) => {
  const { worker, poller } = await start(t);
  const poll = head('GET /v1/ready');
  for (let round = 0; round < 5; round++) await poller.ask(poll);
  const counted = 'vram_http_request_duration_seconds_count{method="GET",route="/v1/ready",status="200"} 5\n';
  await until(async () => (await get(worker, '/metrics')).body.includes(counted));
});
