import { CompactSign } from 'jose';
import t from 'tap';
import { deriveSealKey } from '../../../src/seal/key.js';
import { patternBytes } from '../../support/bytes.js';
import { claimsOf, verifyHandle } from '../../support/handles.js';
import { remove, upload } from '../../support/requests.js';
import { TusClient, uploadOf } from '../../support/tus.js';
import { startWorker, token } from '../../support/worker.js';

const a = patternBytes(5000);
const b = patternBytes(5000, 9);
const key = deriveSealKey(Buffer.from(token), 'worker-1');

const sign = (claims: object, kid: string) =>
  new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'HS256', typ: 'vram-seal+jws', kid })
    .sign(key.secret);

t.test('only the current handle is valid, and every other handle has a reason', async (t) => {
  const worker = await startWorker(t);
  const verify = (handle: string) => verifyHandle(worker, handle);
  const first = (await upload(worker, 'x', a)).json().handle;
  t.match(await verify(first), { valid: true, reason: null, claims: { shard_id: 'x' } });

  await remove(worker, '/v1/shards/x');
  t.match(await verify(first), { valid: false, reason: 'unknown_shard', claims: { shard_id: 'x' } });
  const client = new TusClient(worker);
  const again = await client.create(b.length, { shard_id: 'x', model_ref: 'model' });
  t.match(await verify(first), { valid: false, reason: 'not_sealed', claims: { shard_id: 'x' } }, 'received again');
  t.equal((await client.end(uploadOf(again))).statusCode, 204);
  const second = (await upload(worker, 'x', b)).json().handle;
  t.match(await verify(first), { valid: false, reason: 'superseded', claims: { shard_id: 'x' } });
  t.match(await verify(second), { valid: true, reason: null });

  const [header, payload] = second.split('.');
  t.same(await verify(`${header}.${payload}.${'A'.repeat(43)}`), { valid: false, reason: 'signature', claims: null });
  t.same(await verify('nonsense'), { valid: false, reason: 'malformed', claims: null });
  const claims = claimsOf(second);
  const unknownKey = await verify(await sign(claims, '0011223344556677'));
  t.same(unknownKey, { valid: false, reason: 'unknown_key', claims: null });
  t.equal((await verify(await sign(claims, key.kid))).valid, true, 'the same bytes, signed with the same key');
  const changed = { ...claims, vram_bytes: claims.vram_bytes + 1 };
  t.match(await verify(await sign(changed, key.kid)), { valid: false, reason: 'superseded' });
});

t.test('a handle from before a restart is authentic but has a stale boot id', async (t) => {
  const before = await startWorker(t);
  const { handle } = (await upload(before, 'x', a)).json();
  await before.stop();
  const after = await startWorker(t);
  await upload(after, 'x', a);
  t.match(await verifyHandle(after, handle), { valid: false, reason: 'stale_boot', claims: { shard_id: 'x' } });
});
