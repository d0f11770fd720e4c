import { randomBytes } from 'node:crypto';
import { closeSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { AttachClient } from '../support/attach_client.js';
import { startAttachable } from '../support/attachable.js';
import { newDescriptors, openDescriptors } from '../support/open_descriptors.js';
import { get, upload } from '../support/requests.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { scale } from './scale.js';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

async function heapBytes(): Promise<number> {
  for (let count = 0; count < 3; count++) {
    collectGarbage();
    await sleep(20);
  }
  return process.memoryUsage().heapUsed;
}

t.test('thousands of attaches leave neither memory nor descriptors', async (t) => {
  const log = join(temporaryDirectory(t), 'audit.log');
  const { worker, socket } = await startAttachable(t, { env: { WORKER_AUDIT_LOG: log } });
  await upload(worker, 'a', randomBytes(5000));
  const client = await AttachClient.open(socket);
  const round = async (): Promise<void> => {
    const { type, get: value } = await client.ask('attach', { shard_id: 'a' });
    if (type !== 'attached') throw new Error(value('code') ?? type);
    for (const descriptor of client.descriptors.splice(0)) closeSync(descriptor);
    await client.ask('detach', { lease_id: value('lease_id') ?? '' });
  };
  const rounds = scale(100, 10_000);
  for (let count = 0; count < 100; count++) await round();
  const [before, descriptors] = [await heapBytes(), openDescriptors()];
  for (let count = 0; count < rounds; count++) await round();
  const grown = (await heapBytes()) - before;
  await until(() => newDescriptors(descriptors).length === 0, 'a descriptor is left');
  t.same((await get(worker, '/v1/leases')).json().leases, []);
  t.ok(grown < 4_000_000, `the heap grew by ${grown} bytes`);
  t.comment(`figure: ${rounds} attaches, heap ${grown > 0 ? '+' : ''}${(grown / 1000).toFixed(0)} kB`);
  client.close();
});

t.test('refused processes do not fill the audit log', async (t) => {
  const log = join(temporaryDirectory(t), 'audit.log');
  const { socket } = await startAttachable(t, { env: { WORKER_AUDIT_LOG: log } });
  const client = await AttachClient.open(socket);
  const startMs = performance.now();
  for (let count = 0; count < 300; count++) await client.ask('attach', { shard_id: 'unknown' });
  const seconds = Math.ceil((performance.now() - startMs) / 1000);
  const entries = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.includes('"LeaseRefused"'));
  t.ok(entries.length <= 10 * (seconds + 1), `${entries.length} entries in ${seconds} s`);
  client.close();
});
