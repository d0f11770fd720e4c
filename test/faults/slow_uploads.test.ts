import t from 'tap';
import { startProcess, temporaryDirectory } from '../support/process.js';
import { head, lastBody, RawClient } from '../support/raw_http.js';
import { until } from '../support/until.js';

const bodyBytes = 100_000_000;

t.test('slow uploads keep their slots only while no other commit waits', async (t) => {
  const env = { WORKER_COMMIT_SLOTS: '2', WORKER_LOG_LEVEL: 'warn', CUDA_SIM_DEVICES: '2GiB,2GiB' };
  const { url, authorization } = await startProcess(t, temporaryDirectory(t), env);
  const put = (id: string, length: number) =>
    head(`PUT /v1/commit?shard_id=${id}&model_ref=m`, { Authorization: authorization, 'Content-Length': length });
  /** Sends this number of bytes a second. */
  const trickle = (id: string, bytesPerSecond: number) => {
    const client = new RawClient(url).send(put(id, bodyBytes));
    const block = Buffer.alloc(bytesPerSecond / 10);
    const timer = setInterval(() => client.send(block), 100);
    t.teardown(() => clearInterval(timer));
    void client.closed.then(() => clearInterval(timer));
    return client;
  };
  const slow = trickle('slow', 8 * 1024);
  const fast = trickle('fast', 512 * 1024);
  let seconds = 0;
  const clock = setInterval(() => {
    seconds += 1;
  }, 1000);
  t.teardown(() => clearInterval(clock));
  await until(() => seconds >= 45);
  t.equal(slow.heard, '', 'no commit waits, so no rate applies');
  const waiting = new RawClient(url).send(put('waiting', 10)).send('0123456789');
  t.match(lastBody(await slow.until(/\}$/)), {
    status: 408,
    code: 'UPLOAD_TIMEOUT',
    retriable: true,
    detail: /slower than 65536 bytes per second while other commits waited/,
  });
  t.match(await waiting.until(/"handle"/), / 201 /, 'the waiting commit gets its slot');
  t.equal(fast.heard, '', 'a fast upload continues');
  await Promise.all([slow, fast, waiting].map((client) => client.leave()));
});
