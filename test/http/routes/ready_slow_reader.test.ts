import { connect } from 'node:net';
import t from 'tap';
import { listen } from '../../../src/http/server/listen.js';
import { patternBytes } from '../../support/bytes.js';
import { head } from '../../support/raw_http.js';
import { get, upload } from '../../support/requests.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

const shards = 40;

t.test('a client that reads long answers of ready at one byte a second is disconnected', async (t) => {
  const worker = await startWorker(t);
  const { port } = new URL(await listen(worker.app, '127.0.0.1', 0));
  for (let index = 0; index < shards; index++) await upload(worker, `s-${index}`, patternBytes(10));
  const now = performance.now.bind(performance);
  let seconds = 0;
  t.intercept(performance, 'now', { value: () => now() + 1000 * seconds, configurable: true });
  const onread = { buffer: Buffer.alloc(1), callback: () => false };
  const client = connect({ host: '127.0.0.1', port: Number(port), onread });
  client.on('error', () => undefined);
  // More than the kernel takes for a client that does not read.
  client.write(head('GET /v1/ready').repeat(50));
  const clock = setInterval(() => {
    seconds++;
    client.resume();
  }, 3);
  t.teardown(() => {
    clearInterval(clock);
    client.destroy();
  });
  const metrics = async () => (await get(worker, '/metrics')).body;
  await until(async () => (await metrics()).includes('reason="slow_reader"} 1\n'));
  t.equal((await get(worker, '/v1/ready')).statusCode, 200, 'other clients get their answers');
  t.match(await metrics(), /vram_http_unread_bytes 0\n/);
});
