import t from 'tap';
import { WorkerError } from '../../../src/errors.js';
import { checkHandle } from '../../../src/residency/handle/check.js';
import { issueSeal, reissueHandle } from '../../../src/residency/handle/issue.js';
import { DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { MemoryGrant } from '../../../src/residency/state/memory_grant.js';
import { Shard } from '../../../src/residency/state/shard.js';
import { Signer } from '../../../src/residency/state/signer.js';
import { digestOf } from '../../../src/seal/digest.js';
import { verifyHandle } from '../../../src/seal/handle.js';
import { deriveSealKey } from '../../../src/seal/key.js';

const figures = { name: 'device', uuid: 'GPU-0', totalBytes: 8, freeBytes: 8, granularityBytes: 1 };
const signer = new Signer('worker-1', 'simulated', deriveSealKey(Buffer.alloc(32, 7), 'worker-1'));

/** A sealed shard, and a worker that has only this shard. `writable` is false if the audit log cannot be written. */
function sealed(writable = true) {
  const identity = { shardId: 'a', modelRef: 'm', shardIndex: 0, totalShards: 1 };
  const memory = new DeviceMemory(0, figures, async () => figures);
  const shard = new Shard(identity, 5, new MemoryGrant(memory, memory.claim(5)));
  const treeDigest = digestOf(Buffer.alloc(32, 1));
  const verifiedAt = { wallMs: 1, monotonicMs: 1 };
  const proof = {
    digest: null,
    treeDigest,
    groupHashes: Buffer.alloc(32),
    expected: 'tree',
    expectedBy: null,
    verifiedAt,
  } as const;
  shard.beginSealing();
  shard.markSealed(issueSeal(shard, proof, signer));
  const logged: object[] = [];
  const worker = {
    signer,
    shards: { get: () => shard } as never,
    shardAudit: {
      appendRequired: async (event: string, _shard: Shard, fields?: object) => {
        if (!writable) throw new WorkerError('AUDIT_UNAVAILABLE', 'full');
        logged.push({ event, ...fields });
      },
      effectAborted: (event: string, _shard: Shard, fields?: object) => {
        logged.push({ event: 'EffectAborted', aborted: event, ...fields });
      },
    },
    lifecycle: { bumpRevision: () => undefined, lossError: undefined },
  };
  return { shard, worker, logged };
}

t.test('a reissued handle names the previous one, which is then superseded', async (t) => {
  const { shard, worker, logged } = sealed();
  const before = shard.seal;
  await reissueHandle(shard, worker);
  const after = shard.seal;
  if (before === undefined || after === undefined) throw new Error('the shard is not sealed');
  t.match(verifyHandle(after.handle, signer.key), { ok: true, claims: { jti: after.jti, prev: before.jti } });
  t.same({ ...after, handle: '', jti: '' }, { ...before, handle: '', jti: '' }, 'nothing else of the seal changes');
  t.match(logged, [{ event: 'VramSealed', jti: after.jti, prev: before.jti }]);
  t.match(checkHandle(before.handle, worker), { valid: false, reason: 'superseded' });
  t.match(checkHandle(after.handle, worker), { valid: true });
});

t.test('a handle is reissued only for a sealed shard, and only if the audit log can be written', async (t) => {
  const { shard, worker } = sealed(false);
  const before = shard.seal;
  await t.rejects(reissueHandle(shard, worker), { code: 'AUDIT_UNAVAILABLE' });
  t.equal(shard.seal, before);
  shard.beginRelease(Promise.resolve());
  shard.releaseFailed();
  await t.rejects(reissueHandle(shard, worker), { code: 'SHARD_BUSY' });
});
