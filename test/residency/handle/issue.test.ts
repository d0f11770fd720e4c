import t from 'tap';
import { WorkerError } from '../../../src/errors.js';
import { checkHandle } from '../../../src/residency/handle/check.js';
import { issueSeal, reissueHandle } from '../../../src/residency/handle/issue.js';
import { DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { Shard } from '../../../src/residency/state/shard.js';
import { Signer } from '../../../src/residency/state/signer.js';
import { digestOf } from '../../../src/seal/digest.js';
import { verifyHandle } from '../../../src/seal/handle.js';
import { deriveSealKey } from '../../../src/seal/key.js';

const figures = { name: 'device', uuid: 'GPU-0', totalBytes: 8, freeBytes: 8, granularityBytes: 1 };
const worker = new Signer('worker-1', 'simulated', deriveSealKey(Buffer.alloc(32, 7), 'worker-1'));

/** A sealed shard, and an inventory that holds it alone. */
function sealed(writable = true) {
  const identity = { shardId: 'a', modelRef: 'm', shardIndex: 0, totalShards: 1 };
  const record = new Shard(identity, 5, new DeviceMemory(0, figures, async () => figures), () => undefined);
  const treeDigest = digestOf(Buffer.alloc(32, 1));
  const proof = { digest: null, treeDigest, groupHashes: Buffer.alloc(32), expected: 'tree' } as const;
  record.phase = { state: 'sealed', seal: issueSeal(record, proof, worker) };
  const logged: object[] = [];
  const inventory = {
    signer: worker,
    shards: { get: () => record },
    appendRequired: (event: string, _record: Shard, fields?: object) => {
      if (!writable) throw new WorkerError('AUDIT_UNAVAILABLE', 'full');
      logged.push({ event, ...fields });
    },
    bumpRevision: () => undefined,
  };
  return { record, inventory, logged };
}

t.test('a shard that is sealed anew has a new handle, which names the one before it', async (t) => {
  const { record, inventory, logged } = sealed();
  const before = record.seal;
  reissueHandle(record, inventory);
  const after = record.seal;
  if (before === undefined || after === undefined) throw new Error('the shard is not sealed');
  t.match(verifyHandle(after.handle, worker.key), { ok: true, claims: { jti: after.jti, prev: before.jti } });
  t.same({ ...after, handle: '', jti: '' }, { ...before, handle: '', jti: '' }, 'the rest is as it was');
  t.match(logged, [{ event: 'VramSealed', jti: after.jti, prev: before.jti }]);
  t.match(
    checkHandle(before.handle, {
      signer: worker,
      shards: inventory.shards as never,
      driverHealth: { lossError: undefined } as never,
    }),
    { valid: false, reason: 'superseded' },
  );
  t.match(
    checkHandle(after.handle, {
      signer: worker,
      shards: inventory.shards as never,
      driverHealth: { lossError: undefined } as never,
    }),
    {
      valid: true,
    },
  );
});

t.test('what can not be written down leaves the handle that stands; what is not sealed gets none', async (t) => {
  const { record, inventory } = sealed(false);
  const before = record.seal;
  t.throws(() => reissueHandle(record, inventory), { code: 'AUDIT_UNAVAILABLE' });
  t.equal(record.seal, before);
  record.phase = { state: 'releasing', attempt: null };
  t.throws(() => reissueHandle(record, inventory), { code: 'SHARD_BUSY' });
});
