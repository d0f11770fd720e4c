import { createHmac, createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { CompactSign, calculateJwkThumbprint, compactVerify, createLocalJWKSet, importJWK } from 'jose';
import t from 'tap';
import { signHandle, verifyHandle } from '../../src/seal/handle.js';
import { jwkOf, readJwks } from '../../src/seal/jwk.js';
import { deriveSealKey, readPrivateKey, type SharedKey } from '../../src/seal/key.js';
import { handleClaims as claims } from '../support/claims.js';

const pkcs8 = (privateKey: KeyObject) => privateKey.export({ format: 'der', type: 'pkcs8' });
const fresh = () => readPrivateKey(pkcs8(generateKeyPairSync('ed25519').privateKey));

const key = fresh();
const handle = signHandle(claims, key);
const [header = '', payload = '', signature = ''] = handle.split('.');
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const ours = { alg: 'EdDSA', typ: 'vram-seal+jws', kid: key.kid };

t.test('the key pair of RFC 8037 appendix A has the public key and thumbprint given there', async (t) => {
  const d = 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A';
  const x = '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo';
  const example = readPrivateKey(pkcs8(createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', d, x }, format: 'jwk' })));
  t.equal(example.kid, 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
  t.same(jwkOf(example), { kty: 'OKP', crv: 'Ed25519', x, kid: example.kid, use: 'sig', alg: 'EdDSA' });
  t.equal(await calculateJwkThumbprint({ kty: 'OKP', crv: 'Ed25519', x }), example.kid, 'jose agrees');
});

t.test('a signed handle verifies, and its claims are unchanged', async (t) => {
  t.same(verifyHandle(handle, key), { ok: true, claims });
  t.same(JSON.parse(Buffer.from(header, 'base64url').toString()), ours);
  t.equal(signHandle(claims, key), handle, 'Ed25519 is deterministic');
});

t.test('jose verifies our handles with the key set, and we verify handles of jose', async (t) => {
  const { payload: seen, protectedHeader } = await compactVerify(handle, createLocalJWKSet({ keys: [jwkOf(key)] }));
  t.same(JSON.parse(Buffer.from(seen).toString('utf8')), claims);
  t.same(protectedHeader, ours);
  const theirs = await new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader(ours)
    .sign(key.privateKey);
  t.same(verifyHandle(theirs, key), { ok: true, claims });
});

t.test('PEM and DER give the same key; other content is rejected without showing it', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const pem = Buffer.from(privateKey.export({ format: 'pem', type: 'pkcs8' }));
  t.equal(readPrivateKey(pem).kid, readPrivateKey(pkcs8(privateKey)).kid);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
  const rejected = {
    x25519: pkcs8(generateKeyPairSync('x25519').privateKey),
    ed448: pkcs8(generateKeyPairSync('ed448').privateKey),
    rsa: Buffer.from(rsa.export({ format: 'pem', type: 'pkcs8' })),
    'a public key': publicKey.export({ format: 'der', type: 'spki' }),
    'a public key in PEM': Buffer.from(publicKey.export({ format: 'pem', type: 'spki' })),
    'an encrypted key': Buffer.from(
      privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' }),
    ),
    'an empty file': Buffer.alloc(0),
    'a token': Buffer.from('0123456789abcdef0123456789abcdef'),
    'a truncated key': pkcs8(privateKey).subarray(0, -1),
  };
  for (const [name, bytes] of Object.entries(rejected)) {
    t.throws(() => readPrivateKey(bytes), { name: 'TypeError', message: /^not an Ed25519 private key/ }, name);
  }
});

t.test('a handle is rejected if its algorithm is not that of its key', async (t) => {
  const input = `${encode({ ...ours, alg: 'HS256' })}.${payload}`;
  const spki = key.publicKey.export({ format: 'der', type: 'spki' });
  const pem = key.publicKey.export({ format: 'pem', type: 'spki' });
  const raw = Buffer.from(jwkOf(key).x, 'base64url');
  for (const secret of [spki, pem, raw, Buffer.from(jwkOf(key).x), Buffer.from(key.kid), Buffer.alloc(32)]) {
    const forged = `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
    t.same(verifyHandle(forged, key), { ok: false, reason: 'malformed' }, 'HMAC with public bytes');
  }
  const shared: SharedKey = deriveSealKey(Buffer.alloc(32, 5), 'worker-1');
  const both = (kid: string) => [key, shared].find((one) => one.kid === kid);
  t.same(verifyHandle(signHandle(claims, shared), both), { ok: true, claims });
  const crossed = `${encode({ ...ours, kid: shared.kid })}.${payload}`;
  const signed = sign(null, Buffer.from(crossed), key.privateKey).toString('base64url');
  t.same(verifyHandle(`${crossed}.${signed}`, both), { ok: false, reason: 'malformed' }, 'EdDSA under an HMAC key');
  const swapped = `${encode({ ...ours, alg: 'Ed25519' })}.${payload}`;
  const polymorph = sign(null, Buffer.from(swapped), key.privateKey).toString('base64url');
  t.same(
    verifyHandle(`${swapped}.${polymorph}`, key),
    { ok: false, reason: 'malformed' },
    'the RFC 9864 name of the algorithm',
  );
});

t.test('altered, truncated and other signatures are rejected, each with its reason', async (t) => {
  const bits = Buffer.from(signature, 'base64url');
  for (const at of [0, 31, 32, 63]) {
    const flipped = Buffer.from(bits);
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    t.same(verifyHandle(`${header}.${payload}.${flipped.toString('base64url')}`, key), {
      ok: false,
      reason: 'signature',
    });
  }
  for (const text of [handle.slice(0, -1), `${handle}A`, `${header}.${payload}.${encode('')}`]) {
    t.same(verifyHandle(text, key), { ok: false, reason: 'signature' });
  }
  const order = Buffer.from('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010', 'hex');
  const sum = addLittleEndian(bits.subarray(32), order);
  const malleable = Buffer.concat([bits.subarray(0, 32), sum]).toString('base64url');
  t.same(
    verifyHandle(`${header}.${payload}.${malleable}`, key),
    { ok: false, reason: 'signature' },
    'S + L (RFC 8032)',
  );
  t.same(verifyHandle(handle, fresh()), { ok: false, reason: 'unknown_key' });
  t.same(verifyHandle(handle, { ...fresh(), kid: key.kid }), { ok: false, reason: 'signature' });
});

t.test('a key set gives its Ed25519 keys by thumbprint, and ignores all others', async (t) => {
  const jwk = jwkOf(key);
  const others = [
    null,
    7,
    { kty: 'oct', k: 'AAAA', kid: jwk.kid },
    { ...jwk, crv: 'X25519' },
    { ...jwk, use: 'enc' },
    { ...jwk, alg: 'HS256' },
    { ...jwk, x: 'AAAA' },
    { ...jwk, x: 7 },
  ];
  t.same(readJwks(JSON.stringify({ keys: others })), []);
  const { kid: _, ...nameless } = jwk;
  for (const one of [jwk, nameless, { ...jwk, kid: 'misnamed' }, { ...jwk, alg: 'Ed25519' }]) {
    const keys = readJwks(JSON.stringify({ keys: [...others, one] }));
    t.same(
      keys.map(({ kid }) => kid),
      [key.kid],
    );
    t.same(
      verifyHandle(handle, (kid) => keys.find((found) => found.kid === kid)),
      { ok: true, claims },
    );
  }
  for (const text of ['', '[]', '{}', '{"keys":{}}', 'x']) t.throws(() => readJwks(text), { message: /not a JWK set/ });
  t.ok(await importJWK(jwk), 'jose imports the key');
});

/** a + b over little-endian bytes. */
function addLittleEndian(a: Buffer, b: Buffer): Buffer {
  let carry = 0;
  return Buffer.from(
    a.map((byte, index) => {
      const sum = byte + (b[index] ?? 0) + carry;
      carry = sum >> 8;
      return sum & 0xff;
    }),
  );
}
