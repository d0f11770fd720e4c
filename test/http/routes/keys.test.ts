import { compactVerify, createLocalJWKSet } from 'jose';
import t from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { newPrivateKey, signingWithEd25519 } from '../../support/key_files.js';
import { get, upload } from '../../support/requests.js';
import { startWorker } from '../../support/worker.js';

const url = '/.well-known/jwks.json';

t.test('public keys need no token and verify handles and attestations', async (t) => {
  const worker = await startWorker(t, { env: signingWithEd25519(t) });
  const { handle } = (await upload(worker, 'a', patternBytes(10))).json();
  const answer = await worker.app.inject(url);
  t.equal(answer.statusCode, 200);
  t.match(answer.headers, { 'content-type': /^application\/json/, 'cache-control': 'public, max-age=60' });
  const { keys } = answer.json();
  t.same(Object.keys(keys[0]).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x'], 'no private key');
  const { payload } = await compactVerify(handle, createLocalJWKSet(answer.json()));
  t.match(JSON.parse(Buffer.from(payload).toString()), { shard_id: 'a', iss: 'worker-1' });
  const { attestation } = (await get(worker, '/v1/ready?nonce=n')).json();
  const attested = await compactVerify(attestation, createLocalJWKSet(answer.json()));
  t.match(attested.protectedHeader, { alg: 'EdDSA', typ: 'vram-attestation+jws', kid: keys[0].kid });

  await worker.residency.sealKey.rotate(newPrivateKey());
  const both = (await worker.app.inject(url)).json();
  t.equal(both.keys.length, 2, 'the previous key is published during its grace period');
  t.equal(both.keys[1].kid, keys[0].kid);
  t.ok(await compactVerify(handle, createLocalJWKSet(both)));
});

t.test('a previous key without a grace period is not published', async (t) => {
  const worker = await startWorker(t, { env: { ...signingWithEd25519(t), WORKER_KEY_GRACE_SECONDS: '0' } });
  const [before] = (await worker.app.inject(url)).json().keys;
  await worker.residency.sealKey.rotate(newPrivateKey());
  const { keys } = (await worker.app.inject(url)).json();
  t.equal(keys.length, 1);
  t.not(keys[0].kid, before.kid);
});

t.test('with a shared secret the key set is empty', async (t) => {
  const worker = await startWorker(t);
  t.same((await worker.app.inject(url)).json(), { keys: [] });
  t.equal((await worker.app.inject(`${url}?x=1`)).statusCode, 400);
  t.equal((await worker.app.inject({ method: 'POST', url })).statusCode, 404);
});
