import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { post, upload } from '../../support/requests.js';
import { startWorker } from '../../support/worker.js';

t.test('a handle is verified, and its claims are returned if the signature is valid', async (t) => {
  const worker = await startWorker(t);
  const { handle } = (await upload(worker, 'a', patternBytes(10))).json();
  const judge = async (text: string) => (await post(worker, '/v1/handles/verify', { handle: text })).json();
  const valid = await judge(handle);
  t.match(valid, { valid: true, reason: null, claims: { shard_id: 'a', vram_bytes: 10, simulated: true } });
  const claims = JSON.parse(Buffer.from(handle.split('.')[1], 'base64url').toString());
  t.same(valid.claims, claims, 'every signed claim is returned');
  t.same(await judge(''), { valid: false, reason: 'malformed', claims: null });
  t.same(await judge('a.b.c'), { valid: false, reason: 'malformed', claims: null });
});

t.test('a handle has at most 8 KiB and no null byte', async (t) => {
  const worker = await startWorker(t);
  const statusOf = async (handle: unknown) => (await post(worker, '/v1/handles/verify', { handle })).statusCode;
  t.equal(await statusOf('x'.repeat(8192)), 200);
  t.equal(await statusOf('x'.repeat(8193)), 400);
  t.equal(await statusOf('a\0b'), 400);
  t.equal(await statusOf(1), 400);
  t.equal(await statusOf(undefined), 400);
});
