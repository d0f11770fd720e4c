import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readChain } from '../../support/audit.js';
import { patternBytes } from '../../support/bytes.js';
import { availableBytes, get, remove, upload } from '../../support/requests.js';
import { onSimulator, simulator } from '../../support/simulator.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const bytes = patternBytes(600_000);
const unknown = 999;

t.afterEach(() => simulator.reset());

/** The events of a shard's memory in order: A for allocated, S for sealed, D for deallocated. */
function memoryEvents(path: string, shardId: string): string {
  const word = new Map([
    ['VramAllocated', 'A'],
    ['VramSealed', 'S'],
    ['VramDeallocated', 'D'],
  ]);
  const lines = readChain(path).filter(({ shard_id }) => shard_id === shardId);
  return lines.map(({ event }) => word.get(event) ?? '').join('');
}

/**
 * Commits a shard while the driver fails, and releases the shard if it is still listed. Returns whether the commit
 * failed.
 */
async function commitWithFault(
  t: Test,
  { worker, path }: { readonly worker: TestWorker; readonly path: string },
  shardId: string,
  fault: string,
): Promise<boolean> {
  simulator.faults(fault);
  const { statusCode } = await upload(worker, shardId, bytes);
  simulator.faults('');
  const events = memoryEvents(path, shardId);
  t.match(events, statusCode === 201 ? /^AS$/ : /^(AS?D)?$/, `${fault}: ${events}`);
  // A release that the driver refused is repeated, and recorded again.
  const listed = (await get(worker, `/v1/shards/${shardId}`)).statusCode === 200;
  if (listed) t.equal((await remove(worker, `/v1/shards/${shardId}`)).statusCode, 204);
  t.match(memoryEvents(path, shardId), listed ? /^AS?DD?$/ : /^(AD)?$/, `${fault}: after the release`);
  return statusCode !== 201;
}

/** Functions that change the device. Each fails permanently in turn. */
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

t.test('after any failed driver call, each VramAllocated has its VramDeallocated', onSimulator, async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: path } });
  const before = await availableBytes(worker);
  simulator.reset();
  t.equal((await upload(worker, 'probe', bytes)).statusCode, 201);
  const count = simulator.calls('*');
  await remove(worker, '/v1/shards/probe');
  t.equal(memoryEvents(path, 'probe'), 'ASD');
  let failed = 0;
  for (let nth = 1; nth <= count; nth++) {
    if (await commitWithFault(t, { worker, path }, `once-${nth}`, `*:${nth}=${unknown}`)) failed++;
  }
  t.ok(failed > 10, `${failed} commits failed`);
  for (const [index, name] of functions.entries()) {
    await commitWithFault(t, { worker, path }, `permanent-${index}`, `${name}:1+=${unknown}`);
  }
  t.same(await availableBytes(worker), before);
});

t.test('a commit whose client disconnects records VramDeallocated for the same request', onSimulator, async (t) => {
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
  const [allocated, deallocated] = readChain(path).slice(-2);
  t.match(allocated, { event: 'VramAllocated', shard_id: 'a' });
  const { actor, request_id } = allocated ?? {};
  t.match(deallocated, { event: 'VramDeallocated', shard_id: 'a', reason: 'LENGTH_MISMATCH', actor, request_id });
});
