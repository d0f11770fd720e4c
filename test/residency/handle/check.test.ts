import { CompactSign } from 'jose';
import t from 'tap';
import { deriveSealKey } from '../../../src/seal/key.js';
import { patternBytes } from '../../support/bytes.js';
import { post, remove, upload } from '../../support/requests.js';
import { startWorker, token } from '../../support/worker.js';

const a = patternBytes(5000);
const b = patternBytes(5000, 9);
const key = deriveSealKey(Buffer.from(token), 'worker-1');

t.test('only the handle that stands is valid, and each other one is told apart', async (t) => {
  const worker = await startWorker(t);
  const judge = async (handle: string) => (await post(worker, '/v1/handles/verify', { handle })).json();
  const first = (await upload(worker, 'x', a)).json().handle;
  t.match(await judge(first), { valid: true, reason: null, claims: { shard_id: 'x' } });

  await remove(worker, '/v1/shards/x');
  t.match(await judge(first), { valid: false, reason: 'unknown_shard', claims: { shard_id: 'x' } });
  const second = (await upload(worker, 'x', b)).json().handle;
  t.match(await judge(first), { valid: false, reason: 'superseded', claims: { shard_id: 'x' } });
  t.match(await judge(second), { valid: true, reason: null });

  const [header, payload] = second.split('.');
  t.same(await judge(`${header}.${payload}.${'A'.repeat(43)}`), { valid: false, reason: 'signature', claims: null });
  t.same(await judge('nonsense'), { valid: false, reason: 'malformed', claims: null });
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const signed = (kid: string, secret: Uint8Array) =>
    new CompactSign(Buffer.from(JSON.stringify(claims)))
      .setProtectedHeader({ alg: 'HS256', typ: 'vram-seal+jws', kid })
      .sign(secret);
  t.same(await judge(await signed('0011223344556677', key.secret)), {
    valid: false,
    reason: 'unknown_key',
    claims: null,
  });
  t.equal((await judge(await signed(key.kid, key.secret))).valid, true, 'the same bytes, signed with the same key');
  claims.vram_bytes++;
  t.match(await judge(await signed(key.kid, key.secret)), { valid: false, reason: 'superseded' });
});

t.test('a handle of an earlier boot is authentic and stale', async (t) => {
  const before = await startWorker(t);
  const { handle } = (await upload(before, 'x', a)).json();
  await before.stop();
  const after = await startWorker(t);
  await upload(after, 'x', a);
  const verdict = (await post(after, '/v1/handles/verify', { handle })).json();
  t.match(verdict, { valid: false, reason: 'stale_boot', claims: { shard_id: 'x' } });
});
