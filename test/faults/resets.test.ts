import t, { type Test } from 'tap';
import { patternBytes } from '../support/bytes.js';
import { head, RawClient } from '../support/raw_http.js';
import { availableBytes, get } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { startWorker, type TestWorker } from '../support/worker.js';
import { scale } from './scale.js';
import { patient, wasShed } from './shed.js';

process.env.CUDA_SIM_ENGINE = 'fast';

const bytes = patternBytes(4 * 1024 * 1024);
const step = 4096 * scale(128, 1);
const positions = Array.from({ length: bytes.length / step }, (_, index) => index * step);
const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

/** The ways in which a client aborts an upload. */
const manners = {
  reset: (client: RawClient) => void client.reset(),
  'half-close': (client: RawClient) => void client.finish(),
  close: (client: RawClient) => void client.leave(),
} as const;

/** Sends the head and the first bytes of an upload, and aborts it. Returns the time in ms until the worker freed it. */
async function abort(
  worker: TestWorker,
  at: number,
  chunked: boolean,
  end: (client: RawClient) => void,
): Promise<number> {
  const length = chunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': bytes.length };
  const target = `PUT /v1/commit?shard_id=a&model_ref=m&vram_bytes=${bytes.length}`;
  const client = new RawClient(worker.url).send(head(target, length));
  const part = bytes.subarray(0, at);
  if (chunked && at > 0) client.send(`${at.toString(16)}\r\n`);
  client.send(part);
  const received = () => worker.residency.shards({ limit: 1 }).shards[0]?.receivedBytes;
  while (received() !== at && !client.gone) await tick();
  if (wasShed(client.heard)) return abort(worker, at, chunked, end);
  if (client.gone) throw new Error(`refused after ${at} bytes: ${client.heard}`);
  const from = performance.now();
  end(client);
  while (worker.residency.shards({ limit: 1 }).shards.length > 0) await tick();
  const tookMs = performance.now() - from;
  await client.leave();
  if (/ 201 /.test(client.heard)) throw new Error(`a handle was issued after ${at} bytes`);
  return tookMs;
}

async function abortEverywhere(t: Test, name: string, chunked: boolean, end: (client: RawClient) => void) {
  const worker = await startWorker(t, { listen: true, env: patient });
  const before = await availableBytes(worker);
  const live = simulator.live('*');
  const took: number[] = [];
  for (const at of positions) {
    took.push(await abort(worker, at, chunked, end));
    if (simulator.live('*') !== live) t.fail(`${name} at ${at}: the driver's memory is not free`);
  }
  t.same(await availableBytes(worker), before);
  t.same((await get(worker, '/v1/ready')).json().handles, []);
  took.sort((a, b) => a - b);
  const within = took.filter((ms) => ms < 100).length;
  const slowest = took.at(-1)?.toFixed(1);
  t.comment(`figure: ${name}, all freed within 100 ms ${within} of ${positions.length} (slowest ${slowest} ms)`);
  t.equal(took.length, positions.length);
}

t.test('an upload aborted at any byte leaves no shard and no memory', onSimulator, async (t) => {
  for (const [manner, end] of Object.entries(manners)) await abortEverywhere(t, manner, false, end);
});

t.test('a chunked upload aborted at any byte leaves no shard and no memory', onSimulator, async (t) => {
  for (const [manner, end] of Object.entries(manners)) await abortEverywhere(t, `chunked ${manner}`, true, end);
  await abortEverywhere(t, 'chunked, ended too soon', true, (client) => void client.send('\r\n0\r\n\r\n'));
  await abortEverywhere(t, 'chunked, broken', true, (client) => void client.send('\r\nzz\r\n'));
});
