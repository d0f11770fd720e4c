import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readChain } from '../support/audit.js';
import { patternBytes } from '../support/bytes.js';
import { temporaryDirectory } from '../support/process.js';
import { availableBytes, get, remove, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';

const bytes = patternBytes(600_000);
const unknown = 999;

t.afterEach(() => simulator.reset());

/** What the log says of a shard's memory, in order: A for allocated, S for sealed, D for deallocated. */
function pairsOf(path: string, shardId: string): string {
  const word = new Map([
    ['VramAllocated', 'A'],
    ['VramSealed', 'S'],
    ['VramDeallocated', 'D'],
  ]);
  const lines = readChain(path).filter(({ shard_id }) => shard_id === shardId);
  return lines.map(({ event }) => word.get(event) ?? '').join('');
}

/** A commit while the driver fails; then the memory is taken back, if that could not be done at once. */
async function failing(t: Test, worker: TestWorker, path: string, shardId: string, fault: string): Promise<boolean> {
  simulator.faults(fault);
  const { statusCode } = await upload(worker, shardId, bytes);
  simulator.faults('');
  const told = pairsOf(path, shardId);
  t.match(told, statusCode === 201 ? /^AS$/ : /^(AS?D)?$/, `${fault}: ${told}`);
  // A driver that would not take it back is asked again, and that is told again.
  const listed = (await get(worker, `/v1/shards/${shardId}`)).statusCode === 200;
  if (listed) t.equal((await remove(worker, `/v1/shards/${shardId}`)).statusCode, 204);
  t.match(pairsOf(path, shardId), listed ? /^AS?DD?$/ : /^(AD)?$/, `${fault}: at its end`);
  return statusCode !== 201;
}

/** What fails for good; what only looks at a device does not. */
const functions = [
  'cuMemCreate',
  'cuMemAddressReserve',
  'cuMemMap',
  'cuMemSetAccess',
  'cuMemcpyHtoDAsync_v2',
  'cuLaunchKernel',
  'cuMemUnmap',
  'cuMemRelease',
  'cuMemAddressFree',
];

t.test(
  'whichever driver call fails, memory that is on the log as taken is on it as given back',
  onSimulator,
  async (t) => {
    const path = join(temporaryDirectory(t), 'audit.log');
    const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
    const before = await availableBytes(worker);
    simulator.reset();
    t.equal((await upload(worker, 'probe', bytes)).statusCode, 201);
    const count = simulator.calls('*');
    await remove(worker, '/v1/shards/probe');
    t.equal(pairsOf(path, 'probe'), 'ASD');
    let failed = 0;
    for (let nth = 1; nth <= count; nth++) {
      if (await failing(t, worker, path, `once-${nth}`, `*:${nth}=${unknown}`)) failed++;
    }
    t.ok(failed > 10, `${failed} commits failed half way`);
    for (const [index, name] of functions.entries()) {
      await failing(t, worker, path, `good-${index}`, `${name}:1+=${unknown}`);
    }
    t.same(await availableBytes(worker), before);
  },
);

t.test(
  'memory of a commit whose client leaves is given back on the log, by the same request',
  onSimulator,
  async (t) => {
    const path = join(temporaryDirectory(t), 'audit.log');
    const worker = await startWorker(t, { listen: true, env: { WORKER_AUDIT_LOG: path } });
    const leaving = new AbortController();
    const authorization = `Bearer ${worker.token}`;
    const body = new ReadableStream({ start: (controller) => controller.enqueue(bytes.subarray(0, 1000)) });
    const sending = fetch(`${worker.url}/v1/commit?shard_id=a&model_ref=m&vram_bytes=${bytes.length}`, {
      method: 'PUT',
      headers: { authorization },
      body,
      duplex: 'half',
      signal: leaving.signal,
    } as RequestInit);
    await until(() => worker.residency.shards({ limit: 1 }).shards[0]?.receivedBytes === 1000);
    leaving.abort();
    await sending.catch(() => undefined);
    await until(() => worker.residency.shards({ limit: 1 }).shards.length === 0);
    const [taken, given] = readChain(path).slice(-2);
    t.match(taken, { event: 'VramAllocated', shard_id: 'a' });
    const { actor, request_id } = taken ?? {};
    t.match(given, { event: 'VramDeallocated', shard_id: 'a', reason: 'LENGTH_MISMATCH', actor, request_id });
  },
);
