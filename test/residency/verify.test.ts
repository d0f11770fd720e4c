import { once } from 'node:events';
import { openSync, readFileSync, readSync, statSync, writeSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { referenceTreeDigest } from '../../src/seal/tree.js';
import { patternBytes } from '../support/bytes.js';
import { get, mebibyte, post, remove, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { startWorker } from '../support/worker.js';

// Read by the simulator when the first worker starts.
const directory = t.testdir({});
process.env.CUDA_SIM_DIR = directory;

const groupBytes = 512 * 1024;
const bytes = patternBytes(3 * mebibyte + 5);

const memoryOf = (gpuDevice: number) => join(directory, `gpu${gpuDevice}-memory.vram`);

/** Whether bytes lie in the memory of a simulated device. */
const lies = (gpuDevice: number, part: Buffer) => readFileSync(memoryOf(gpuDevice)).includes(part);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Flips one bit of a shard, from outside: where its bytes lie in the simulated device's file. */
function damage(shard: Buffer, gpuDevice: number, ...offsets: readonly number[]): void {
  const path = memoryOf(gpuDevice);
  const start = readFileSync(path).indexOf(shard.subarray(0, 4096));
  if (start < 0 || start + shard.length > statSync(path).size) throw new Error('the shard is not in the file');
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  for (const offset of offsets) {
    readSync(file, byte, 0, 1, start + offset);
    writeSync(file, Buffer.of(byte.readUInt8() ^ 0x10), 0, 1, start + offset);
  }
}

t.test('a flipped bit is found, and where: from the first byte to the last', onSimulator, async (t) => {
  const worker = await startWorker(t);
  const cases = [
    [[0], [{ offset: 0, length: groupBytes }]],
    [[groupBytes - 1, groupBytes], [{ offset: 0, length: 2 * groupBytes }]],
    [
      [groupBytes, 3 * groupBytes],
      [
        { offset: groupBytes, length: groupBytes },
        { offset: 3 * groupBytes, length: groupBytes },
      ],
    ],
    [[bytes.length - 1], [{ offset: 6 * groupBytes, length: 5 }]],
  ] as const;
  for (const [index, [offsets, ranges]] of cases.entries()) {
    const id = `shard-${index}`;
    const { handle } = (await upload(worker, id, bytes)).json();
    const clean = (await post(worker, `/v1/shards/${id}/verify`)).json();
    t.match(clean, { verified: true, bytes: bytes.length, corrupt_ranges: [] });
    t.equal((await get(worker, '/v1/ready')).statusCode, 200);

    damage(bytes, 0, ...offsets);
    const damaged = await post(worker, `/v1/shards/${id}/verify`);
    t.match(damaged.json(), { verified: false, checks: { signature: true, residency: true, tree_digest: false } });
    t.same(damaged.json().corrupt_ranges, ranges);
    const ready = await get(worker, '/v1/ready');
    t.equal(ready.statusCode, 503);
    t.match(ready.json(), { ready: false, reasons: [{ code: 'SHARD_CORRUPT' }], handles: [] });
    t.match((await post(worker, '/v1/handles/verify', { handle })).json(), { valid: false, reason: 'not_sealed' });
    t.match((await upload(worker, id, bytes)).json(), { status: 409, code: 'SHARD_CONFLICT' });
    t.equal((await remove(worker, `/v1/shards/${id}`)).statusCode, 204);
  }
});

t.test('ready verifies first what is older than it is asked to trust', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'old', bytes);
  t.equal((await get(worker, '/v1/ready?max_age_seconds=3600')).statusCode, 200);
  damage(bytes, 0, 77);
  t.equal((await get(worker, '/v1/ready?max_age_seconds=3600')).statusCode, 200, 'young enough: not looked at');
  await new Promise((resolve) => setTimeout(resolve, 1100));
  t.equal((await get(worker, '/v1/ready?max_age_seconds=1')).statusCode, 503, 'too old: looked at, and found');
});

t.test('verifications of one shard at one time share one run', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', bytes);
  simulator.reset();
  const reports = await Promise.all(Array.from({ length: 8 }, () => post(worker, '/v1/shards/a/verify')));
  t.ok(reports.every((report) => report.json().verified === true));
  t.equal(simulator.calls('cuLaunchKernel'), 2, 'one run: the leaves and the level above');
});

t.test('bytes that change between arrival and seal are never sealed', onSimulator, async (t) => {
  const worker = await startWorker(t, { listen: true });
  const answers = ['', `&expected_tree_digest=${referenceTreeDigest(bytes)}`].map(async (expected, index) => {
    const target = `${worker.url}/v1/commit?shard_id=s-${index}&model_ref=m&gpu_device=${index}${expected}`;
    const headers = { authorization: `Bearer ${worker.token}`, 'content-length': bytes.length };
    const sending = request(target, { method: 'PUT', headers });
    const answered = once(sending, 'response');
    sending.write(bytes.subarray(0, 2 * mebibyte));
    await until(() => lies(index, bytes.subarray(0, mebibyte)));
    damage(bytes.subarray(0, mebibyte), index, 1000);
    sending.end(bytes.subarray(2 * mebibyte));
    const [response] = await answered;
    return JSON.parse(Buffer.concat(await response.toArray()).toString());
  });
  t.match(await answers[0], { status: 422, code: 'SEAL_VERIFICATION_FAILED', retriable: false });
  t.match(await answers[1], { status: 422, code: 'DIGEST_MISMATCH' });
  t.same((await get(worker, '/v1/shards')).json().shards, []);
});

t.test('a released shard leaves no byte behind', onSimulator, async (t) => {
  const worker = await startWorker(t);
  await upload(worker, 'a', bytes);
  await remove(worker, '/v1/shards/a');
  t.notOk(lies(0, bytes.subarray(4096, 8192)));
});
