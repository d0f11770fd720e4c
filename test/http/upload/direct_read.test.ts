import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { DuplicatedSocket } from '../../../src/vram/socket.js';
import { patternBytes } from '../../support/bytes.js';
import { openDescriptors } from '../../support/open_descriptors.js';
import { head, RawClient } from '../../support/raw_http.js';
import { availableBytes, get, mebibyte, remove, sha256, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/worker.js';

const bytes = patternBytes(5 * mebibyte + 77);
const digest = sha256(bytes);
const put = (id: string, headers: Record<string, string | number> = { 'Content-Length': bytes.length }) =>
  head(`PUT /v1/commit?shard_id=${id}&model_ref=m&vram_bytes=${bytes.length}&expected_digest=${digest}`, headers);

t.test('a fast body is read directly and completely, and its connection closes after the response', async (t) => {
  const worker = await startWorker(t, { listen: true });
  const answer = await new RawClient(worker.url).send(put('fast')).send(bytes).whole();
  t.match(answer, /^HTTP\/1\.1 201 Created/);
  t.match(answer, /\r\nconnection: close\r\n/i, 'the sign of a direct read');
});

t.test('a body arrives completely if its sender pauses', async (t) => {
  const worker = await startWorker(t, { listen: true });
  for (const first of [1, 65_536, mebibyte - 1, mebibyte, 2 * mebibyte, bytes.length - mebibyte, bytes.length - 1]) {
    const client = new RawClient(worker.url).send(put('paused')).send(bytes.subarray(0, first));
    await sleep(20);
    const answer = await client.send(bytes.subarray(first)).until(/"handle"/);
    t.match(answer, /^HTTP\/1\.1 201 Created/, `a pause after ${first} bytes`);
    await remove(worker, '/v1/shards/paused');
    client.leave();
  }
});

t.test('more fast bodies than direct readers all arrive completely', async (t) => {
  const worker = await startWorker(t, { listen: true, env: { CUDA_SIM_DEVICES: '64MiB,64MiB' } });
  const answers = Array.from({ length: 12 }, (_, index) =>
    new RawClient(worker.url)
      .send(put(`s-${index}`))
      .send(bytes)
      .until(/"handle"/),
  );
  for (const answer of await Promise.all(answers)) t.match(answer, /^HTTP\/1\.1 201 Created/);
});

t.test('a request behind a fast body is dropped', async (t) => {
  const worker = await startWorker(t, { listen: true });
  const next = head('DELETE /v1/shards/first');
  const answer = await new RawClient(worker.url)
    .send(put('first'))
    .send(Buffer.concat([bytes, Buffer.from(next)]))
    .whole();
  t.match(answer, /^HTTP\/1\.1 201 Created/);
  t.notMatch(answer, /HTTP\/1\.1 204/);
  t.equal((await get(worker, '/v1/shards/first')).statusCode, 200);
});

t.test('a request behind as many bytes as Node still expects is dropped', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true });
  t.teardown(() => simulator.reset());
  for (const first of [65_536 + 10, 65_536 + 8000, bytes.length]) {
    await upload(worker, 'victim', bytes);
    const client = new RawClient(worker.url).send(put('first')).send(bytes.subarray(0, first));
    // Small chunks go through Node, which still expects the bytes that it did not see.
    for (let at = first; at < bytes.length; at += 20_000) {
      await sleep(1);
      client.send(bytes.subarray(at, at + 20_000));
    }
    simulator.latencyUs(20_000);
    // An HTTP parser skips empty lines before a request.
    client.send(Buffer.alloc(first + 2, '\r\n')).send(head('DELETE /v1/shards/victim'));
    await client.whole();
    simulator.latencyUs(0);
    t.match(client.heard, /HTTP\/1\.1 201 Created/);
    t.notMatch(client.heard, /HTTP\/1\.1 204/);
    t.equal((await get(worker, '/v1/shards/victim')).json().state, 'sealed');
    await remove(worker, '/v1/shards/first');
  }
});

t.test('a sender that stalls during a direct read gets 408 and leaves no memory in use', async (t) => {
  const worker = await startWorker(t, { listen: true, env: { WORKER_UPLOAD_IDLE_SECONDS: '1' } });
  const before = await availableBytes(worker);
  const client = new RawClient(worker.url).send(put('half')).send(bytes.subarray(0, 3 * mebibyte));
  t.match(await client.whole(), /^HTTP\/1\.1 408 .*UPLOAD_TIMEOUT/s);
  t.same(await availableBytes(worker), before);
});

t.test('a sender that half-closes during a direct read leaves no shard and no memory', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true });
  t.teardown(() => simulator.reset());
  const native = t.capture(DuplicatedSocket.prototype, 'receive', DuplicatedSocket.prototype.receive);
  const before = await availableBytes(worker);
  const live = simulator.live('*');
  const files = openDescriptors();
  // A slow device delays the direct read, so that the half close arrives during it.
  simulator.latencyUs(3000);
  for (const sent of [mebibyte, 3 * mebibyte + 1, bytes.length - mebibyte, bytes.length - 1]) {
    for (const leaves of [false, true]) {
      const what = `${leaves ? 'leaving' : 'still listening'} after ${sent} bytes`;
      const client = new RawClient(worker.url).send(put('half')).send(bytes.subarray(0, sent)).finish();
      await until(() => native().length > 0);
      if (leaves) await client.leave();
      // Either the direct reader or Node's parser notices first.
      else t.match(await client.whole(), /HTTP\/1\.1 (400|422) .*"(INVALID_PARAMS|LENGTH_MISMATCH)"/s, what);
      await until(() => worker.residency.shards({ limit: 1 }).shards.length === 0);
      // The duplicated socket is a TCP connection, so connections count too.
      await until(() => openDescriptors().length <= files.length);
      t.same(await availableBytes(worker), before, what);
      t.equal(simulator.live('*'), live, what);
      t.match((await get(worker, '/v1/ready')).json(), { handles: [], reasons: [{ code: 'NO_MODEL_READY' }] }, what);
    }
  }
  simulator.latencyUs(0);
  const answers = Array.from({ length: 4 }, (_, index) =>
    new RawClient(worker.url)
      .send(put(`s-${index}`))
      .send(bytes)
      .whole(),
  );
  for (const answer of await Promise.all(answers)) {
    t.match(answer, /^HTTP\/1\.1 201 Created.*\r\nconnection: close\r\n/is, 'later uploads are read directly again');
  }
});

t.test('a chunked body is not read directly, and its connection stays open', async (t) => {
  const worker = await startWorker(t, { listen: true });
  const client = new RawClient(worker.url).send(put('chunked', { 'Transfer-Encoding': 'chunked' }));
  client
    .send(`${bytes.length.toString(16)}\r\n`)
    .send(bytes)
    .send('\r\n0\r\n\r\n');
  const answer = await client.until(/"handle"/);
  t.match(answer, /^HTTP\/1\.1 201 Created/);
  t.notMatch(answer, /\r\nconnection: close\r\n/i);
  client.leave();
});
