import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { CompactSign, compactVerify } from 'jose';
import t from 'tap';
import { signHandle, verifyHandle } from '../../src/seal/handle.js';
import { signJws, verifyJws } from '../../src/seal/jws.js';
import { deriveSealKey } from '../../src/seal/key.js';
import { handleClaims as claims } from '../support/claims.js';

const secret = Buffer.from('a secret of at least thirty-two bytes');
const key = deriveSealKey(secret, 'worker-1');

const handle = signHandle(claims, key);
const [header = '', payload = '', signature = ''] = handle.split('.');
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const mac = (input: string) => createHmac('sha256', key.secret).update(input).digest('base64url');
const resigned = (head: object, body: unknown = claims) => {
  const input = `${encode(head)}.${encode(body)}`;
  return `${input}.${mac(input)}`;
};

t.test('a signed handle verifies, and its claims are unchanged', async (t) => {
  t.same(verifyHandle(handle, key), { ok: true, claims });
});

t.test('a handle may name its predecessor', async (t) => {
  const next = { ...claims, prev: claims.jti };
  t.same(verifyHandle(signHandle(next, key), key), { ok: true, claims: next });
});

t.test('jose verifies our handles, and we verify handles of jose', async (t) => {
  const { payload: seen, protectedHeader } = await compactVerify(handle, key.secret);
  t.same(JSON.parse(Buffer.from(seen).toString('utf8')), claims);
  t.same(protectedHeader, { alg: 'HS256', typ: 'vram-seal+jws', kid: key.kid });
  const theirs = await new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'HS256', typ: 'vram-seal+jws', kid: key.kid })
    .sign(key.secret);
  t.same(verifyHandle(theirs, key), { ok: true, claims });
});

/** Sets an unused bit of the last base64url character, which leaves the decoded bytes of a 32-byte MAC unchanged. */
function withUnusedBits(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return text.slice(0, -1) + alphabet[alphabet.indexOf(text.slice(-1)) | 1];
}

t.test('each kind of altered handle is rejected with its reason', async (t) => {
  const ours = { alg: 'HS256', typ: 'vram-seal+jws', kid: key.kid };
  const cases: readonly (readonly [string, string, string])[] = [
    ['empty', '', 'malformed'],
    ['two parts', `${header}.${payload}`, 'malformed'],
    ['four parts', `${handle}.x`, 'malformed'],
    ['a newline at the end', `${handle}\n`, 'malformed'],
    ['no signature', `${header}.${payload}.`, 'malformed'],
    ['alg none', `${encode({ ...ours, alg: 'none' })}.${payload}.${signature}`, 'malformed'],
    ['alg none, signed', resigned({ ...ours, alg: 'none' }), 'malformed'],
    ['alg HS512', resigned({ ...ours, alg: 'HS512' }), 'malformed'],
    ['another typ', resigned({ ...ours, typ: 'vram-attestation+jws' }), 'malformed'],
    ['crit', resigned({ ...ours, crit: ['exp'] }), 'malformed'],
    ['b64 false', resigned({ ...ours, b64: false }), 'malformed'],
    ['no kid', resigned({ alg: 'HS256', typ: 'vram-seal+jws' }), 'malformed'],
    ['a numeric kid', resigned({ ...ours, kid: 7 }), 'malformed'],
    ['another kid', resigned({ ...ours, kid: '0000000000000000' }), 'unknown_key'],
    ['claims that are not an object', resigned(ours, 'x'), 'malformed'],
    ['a missing claim', resigned(ours, { ...claims, jti: undefined }), 'malformed'],
    ['an unknown claim', resigned(ours, { ...claims, exp: 1 }), 'malformed'],
    ['a numeric predecessor', resigned(ours, { ...claims, prev: 7 }), 'malformed'],
    ['an unknown claim and a predecessor', resigned(ours, { ...claims, prev: 'x', exp: 1 }), 'malformed'],
    ['an unknown driver', resigned(ours, { ...claims, driver: 'opencl' }), 'malformed'],
    ['truncated signature', handle.slice(0, -1), 'signature'],
    ['padded signature', `${handle}A`, 'signature'],
    ['another encoding of the signature', withUnusedBits(handle), 'signature'],
    ['other claims', `${header}.${encode({ ...claims, vram_bytes: 1 })}.${signature}`, 'signature'],
  ];
  for (const [name, text, reason] of cases) t.same(verifyHandle(text, key), { ok: false, reason }, name);
});

t.test('a handle with any changed character is rejected', async (t) => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=\n ';
  fc.assert(
    fc.property(fc.nat(handle.length - 1), fc.constantFrom(...alphabet), (at, character) => {
      fc.pre(handle[at] !== character);
      const forged = handle.slice(0, at) + character + handle.slice(at + 1);
      return verifyHandle(forged, key).ok === false;
    }),
    { numRuns: 2000 },
  );
  t.pass('2000 changes');
});

t.test('an attestation is not accepted as a handle, nor a handle as an attestation', async (t) => {
  t.same(verifyHandle(signJws('vram-attestation+jws', claims, key), key), { ok: false, reason: 'malformed' });
  t.same(verifyJws('vram-attestation+jws', handle, key), { ok: false, reason: 'malformed' });
});

t.test('the key is bound to the worker and the secret', async (t) => {
  const others = [deriveSealKey(secret, 'worker-2'), deriveSealKey(Buffer.alloc(32), 'worker-1')];
  for (const other of others) {
    t.not(other.kid, key.kid);
    t.same(verifyHandle(handle, other), { ok: false, reason: 'unknown_key' });
    t.same(verifyHandle(handle, { ...other, kid: key.kid }), { ok: false, reason: 'signature' });
  }
});

t.test('each claim must be present and have its type', async (t) => {
  const ours = { alg: 'HS256', typ: 'vram-seal+jws', kid: key.kid };
  const malformed = { ok: false, reason: 'malformed' };
  const wrong: Record<string, readonly unknown[]> = {
    text: [7, null, true, ['x']],
    number: ['1', -1, 1.5, 2 ** 53, null],
    digest: ['x', 5, `sha256:${'A'.repeat(64)}`],
    tree_digest: [null, 'x'],
    expected: ['any', null, 7],
    driver: ['gpu', null, 7],
    simulated: ['true', 1, null],
    exportable: ['true', 1, null],
    exported_at: [1, true],
  };
  for (const [name, value] of Object.entries(claims)) {
    for (const other of wrong[name] ?? wrong[typeof value === 'number' ? 'number' : 'text'] ?? []) {
      const altered = { ...claims, [name]: other };
      t.same(verifyHandle(resigned(ours, altered), key), malformed, `${name}: ${JSON.stringify(other)}`);
    }
    const { [name as keyof typeof claims]: _, ...rest } = claims;
    t.same(verifyHandle(resigned(ours, { ...rest, another: 'x' }), key), malformed, `another claim instead of ${name}`);
  }
});

t.test('a signed payload that is not an object is malformed', async (t) => {
  const ours = { alg: 'HS256', typ: 'vram-attestation+jws', kid: key.kid };
  for (const body of [['x'], 'x', 7, true, null]) {
    const verdict = verifyJws('vram-attestation+jws', resigned(ours, body), key);
    t.same(verdict, { ok: false, reason: 'malformed' }, JSON.stringify(body));
  }
});
