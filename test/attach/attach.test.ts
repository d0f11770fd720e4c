import { randomBytes } from 'node:crypto';
import t from 'tap';
import { encodeFrame } from '../../src/ipc/frame.js';
import { deriveSealKey } from '../../src/seal/key.js';
import { verifyReceipt } from '../../src/seal/lease_receipt.js';
import { AttachClient } from '../support/attach_client.js';
import { startAttachable } from '../support/attachable.js';
import { Clocks } from '../support/clock.js';
import { claimsOf, verifyHandle } from '../support/handles.js';
import { newDescriptors, openDescriptors } from '../support/open_descriptors.js';
import { get, remove, upload } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { until } from '../support/until.js';
import { token } from '../support/worker.js';

t.test('a process gets the bytes of a shard, a new handle and a receipt', async (t) => {
  const { worker, socket } = await startAttachable(t);
  const bytes = randomBytes(3_000_000);
  const { handle, shard } = (await upload(worker, 'a', bytes)).json();
  t.match(shard, { exportable: true, exported_at: null, leases: 0 });
  t.match(claimsOf(handle), { exportable: true, exported_at: null });

  const client = await AttachClient.open(socket);
  const answer = await client.ask('attach', { shard_id: 'a', nonce: 'n-1', label: 'rank0', gpu_uuid: shard.gpu_uuid });
  t.equal(answer.type, 'attached');
  t.same(answer.all('part'), ['0 4194304']);
  t.equal(client.descriptors.length, 1);
  t.ok(client.takeMemory().subarray(0, bytes.length).equals(bytes));

  const exported = claimsOf(answer.get('handle') ?? '');
  t.equal(exported.prev, claimsOf(handle).jti);
  t.match(exported, { exportable: true, exported_at: /^20/ });
  t.match(await verifyHandle(worker, handle), { valid: false, reason: 'superseded' });
  t.match(await verifyHandle(worker, answer.get('handle') ?? ''), { valid: true });
  const check = verifyReceipt(answer.get('receipt') ?? '', deriveSealKey(Buffer.from(token), 'worker-1'));
  t.match(check, {
    ok: true,
    claims: {
      lease_id: answer.get('lease_id'),
      handle_jti: exported.jti,
      shard_id: 'a',
      tree_digest: shard.tree_digest,
      peer: { uid: process.getuid?.(), gid: process.getgid?.(), pid: process.pid },
      nonce: 'n-1',
    },
  });

  const { leases } = (await get(worker, '/v1/leases')).json();
  t.match(leases, [
    { lease_id: answer.get('lease_id'), shard_id: 'a', state: 'active', pid: process.pid, label: 'rank0' },
  ]);
  const { shard: polled } = (await get(worker, '/v1/ready')).json().handles[0];
  t.match(polled, { leases: 1, exported_at: /^20/ });
  t.match((await get(worker, '/v1/shards/a')).json(), polled, 'ready reports the lease too');
  t.match((await get(worker, '/v1/shards/a/leases')).json().leases, leases);
  t.match((await remove(worker, '/v1/shards/a')).json(), {
    code: 'SHARD_LEASED',
    retriable: true,
    lease_ids: [answer.get('lease_id')],
  });

  const again = await client.ask('attach', { model_ref: 'model', shard_index: 0 });
  t.equal(again.get('handle'), answer.get('handle'), 'the second export needs no new handle');
  client.takeMemory();
  for (const one of [answer, again]) {
    t.equal((await client.ask('detach', { lease_id: one.get('lease_id') ?? '' })).type, 'detached');
  }
  t.equal((await client.ask('detach', { lease_id: again.get('lease_id') ?? '' })).get('code'), 'NOT_FOUND');
  t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204);
  client.close();
});

t.test('an attach with max_age_seconds verifies an older shard first', onSimulator, async (t) => {
  t.teardown(() => simulator.reset());
  const { worker, socket } = await startAttachable(t);
  await upload(worker, 'a', randomBytes(5000));
  const verifiedAt = async () => (await get(worker, '/v1/shards/a')).json().last_verified_at;
  const sealedAt = await verifiedAt();
  const client = await AttachClient.open(socket);
  const clocks = Clocks.take(t);
  const attachAfter2Seconds = async (maxAgeSeconds: number) => {
    clocks.step(2000);
    clocks.pass(2000);
    const answer = await client.ask('attach', { shard_id: 'a', max_age_seconds: maxAgeSeconds });
    client.takeDescriptors();
    return answer.get('code') ?? answer.type;
  };
  t.equal(await attachAfter2Seconds(60), 'attached');
  t.equal(await verifiedAt(), sealedAt);
  t.equal(await attachAfter2Seconds(1), 'attached');
  t.ok((await verifiedAt()) > sealedAt);
  simulator.spoofs('host_pointer=1');
  t.equal(await attachAfter2Seconds(1), 'SEAL_VERIFICATION_FAILED');
  client.close();
});

t.test('hand-overs leave no descriptor in the worker', async (t) => {
  const { worker, socket } = await startAttachable(t);
  await upload(worker, 'a', randomBytes(5000));
  const before = openDescriptors();
  for (let round = 0; round < 5; round++) {
    const client = await AttachClient.open(socket);
    const { type } = await client.ask('attach', { shard_id: 'a' });
    t.equal(type, 'attached');
    client.takeMemory();
    client.close();
  }
  // This process is alive, so its leases linger. Its pidfd is shared.
  await until(async () =>
    (await get(worker, '/v1/leases')).json().leases.every((l: { state: string }) => l.state === 'lingering'),
  );
  await until(() => newDescriptors(before).length <= 1, 'more than one pidfd is left');
});

t.test('requests that arrived before the end of a connection are processed', async (t) => {
  const { worker, socket } = await startAttachable(t);
  await upload(worker, 'a', randomBytes(1000));
  const client = await AttachClient.open(socket);
  const leases: string[] = [];
  for (let count = 0; count < 20; count += 1) {
    leases.push((await client.ask('attach', { shard_id: 'a' })).get('lease_id') ?? '');
  }
  // This process lives on, so a lease that is not detached would stay.
  const id = 100;
  client.raw(Buffer.concat(leases.map((lease, n) => encodeFrame('detach', { id: id + n, lease_id: lease }))));
  client.close();
  await until(async () => (await get(worker, '/v1/leases')).json().leases.length === 0, 'the leases end');
});
