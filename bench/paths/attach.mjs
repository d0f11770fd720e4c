import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { requestHead } from '../connection.mjs';
import { freshContent } from '../content.mjs';
import { openLoop } from '../load.mjs';
import { mapFile, readFile, readShard, repeatAttaches } from '../native.mjs';
import { alternate } from '../rounds.mjs';
import { rate } from '../row.mjs';
import { percentile } from '../statistics.mjs';
import { Worker } from '../worker.mjs';

const readyPerSecond = 200;
const attachesPerSecond = 100;
const loadRounds = 3;

/**
 * A shard that another process uses in place, compared with reading the same file; and `GET /v1/ready` while a process
 * attaches and detaches during a commit. @param {import('../bench.mjs').Context} context
 */
export async function attach({ options, workspace }) {
  return [...(await reading(workspace, options)), ...(await duringCommit(workspace, options))];
}

/** The worker writes its audit log to a disk. The verification after a lease is off, because it occupies both cores. */
function startWorker(workspace) {
  return Worker.start(workspace, {
    WORKER_ATTACH_SOCKET: join(workspace.make('socket'), 'attach.sock'),
    WORKER_VERIFY_AFTER_LEASE: 'off',
    WORKER_AUDIT_LOG: join(workspace.makeOnDisk('attach'), 'audit.log'),
  });
}

const socketOf = (workspace) => join(workspace.directory, 'socket', 'attach.sock');

async function reading(workspace, { rounds, sizeBytes }) {
  const worker = await startWorker(workspace);
  const content = freshContent(workspace.models, 'attach', sizeBytes);
  await worker.file('attach', content);
  const attached = [];
  const mapped = [];
  const contestants = {
    attached: async () => {
      attached.push(await readShard(socketOf(workspace), 'attach'));
      return attached.at(-1).first_byte_ms;
    },
    mapped: async () => {
      mapped.push(await mapFile(content.path));
      return mapped.at(-1).first_byte_ms;
    },
    copied: async () => (await readFile(content.path)).all_bytes_ms,
  };
  await alternate(1, () => undefined, contestants); // warm-up
  attached.length = 0;
  mapped.length = 0;
  const samples = await alternate(4 * rounds, () => undefined, contestants);
  await worker.stop();
  for (const { sum } of attached) assert.equal(sum, mapped[0].sum, 'the shard has the bytes of the file');

  const size = `${sizeBytes / 2 ** 30} GiB`;
  const firstByte = { unit: 'ms', samples: samples.attached };
  const seconds = (readings) => readings.map(({ all_bytes_ms: ms }) => ms / 1000);
  return [
    { path: `connect, attach ${size}, read the first byte: p50`, better: 'lower', product: firstByte, required: 10 },
    {
      path: `connect, attach ${size}, read the first byte`,
      better: 'lower',
      product: firstByte,
      baseline: 'read(2) of the whole file, in the page cache',
      baselineSeries: { unit: 'ms', samples: samples.copied },
      required: 1 / 50,
    },
    {
      path: `read all bytes of an attached shard of ${size}`,
      better: 'higher',
      product: rate(sizeBytes, seconds(attached)),
      baseline: 'the same of a mapped file, in the page cache',
      baselineSeries: rate(sizeBytes, seconds(mapped)),
      required: 0.9,
    },
  ];
}

async function duringCommit(workspace, { largeBytes }) {
  const worker = await startWorker(workspace);
  await worker.upload('attach', freshContent(workspace.models, 'attach', 64 * 2 ** 20));
  const request = requestHead('GET', '/v1/ready', { authorization: worker.authorization });
  const latencies = { ready: [], attach: [], rate: [] };
  for (let round = 0; round <= loadRounds; round++) {
    const content = freshContent(workspace.models, 'latency', largeBytes);
    const stop = new AbortController();
    const polling = openLoop(worker.url, request, readyPerSecond, stop.signal);
    const attaching = repeatAttaches(socketOf(workspace), 'attach', attachesPerSecond, stop.signal);
    await sleep(50);
    await worker.file('large', content);
    stop.abort();
    const [{ latenciesMs, errors }, attaches] = await Promise.all([polling, attaching]);
    assert.equal(errors, 0, 'ready failed during a commit');
    await worker.release('large');
    if (round === 0) continue; // warm-up
    latencies.rate.push(attaches.per_second);
    latencies.ready.push(percentile(latenciesMs, 0.99));
    latencies.attach.push(attaches.p99_ms);
  }
  await worker.stop();
  const during = `during a commit by file of ${largeBytes / 2 ** 30} GiB`;
  const loads = `${readyPerSecond}/s and ${attachesPerSecond} attaches/s`;
  return [
    {
      path: `completed of ${loads} ${during}`,
      better: 'higher',
      product: { unit: 'attaches/s', samples: latencies.rate },
      required: 0.9 * attachesPerSecond,
    },
    {
      path: `GET /v1/ready with ${loads} ${during}: p99`,
      better: 'lower',
      product: { unit: 'ms', samples: latencies.ready },
      required: 25,
    },
    {
      path: `attach with ${loads} ${during}: p99`,
      better: 'lower',
      product: { unit: 'ms', samples: latencies.attach },
    },
  ];
}
