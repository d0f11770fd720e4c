import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import t from 'tap';
import { deriveSealKey } from '../../src/seal/key.js';

const secret = Buffer.from('0123456789abcdef0123456789abcdef');

t.test('the key is HKDF-SHA256 as RFC 5869 spells it out', async (t) => {
  const extracted = createHmac('sha256', 'vram-residency/seal/v1').update(secret).digest();
  const expanded = createHmac('sha256', extracted).update('gpu-host-7').update(Buffer.of(1)).digest();
  const key = deriveSealKey(secret, 'gpu-host-7');
  t.same(key.secret, expanded);
  t.equal(key.kid, createHmac('sha256', expanded).update('kid').digest('hex').slice(0, 16));
});

t.test('OpenSSL alone derives the same key', async (t) => {
  const text = (value: string) => Buffer.from(value).toString('hex');
  const options = ['digest:SHA256', `hexkey:${secret.toString('hex')}`, `hexsalt:${text('vram-residency/seal/v1')}`];
  const flags = [...options, `hexinfo:${text('gpu-host-7')}`].flatMap((option) => ['-kdfopt', option]);
  const derived = execFileSync('openssl', ['kdf', '-keylen', '32', ...flags, '-binary', 'HKDF']);
  t.same(derived, deriveSealKey(secret, 'gpu-host-7').secret);
});
