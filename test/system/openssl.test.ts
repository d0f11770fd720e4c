import { execFileSync } from 'node:child_process';
import t from 'tap';
import { deriveSealKey } from '../../src/seal/key.js';
import { unlessInstalled } from '../support/installed.js';

const secret = Buffer.from('0123456789abcdef0123456789abcdef');

t.test('OpenSSL alone derives the same key', unlessInstalled('openssl'), async (t) => {
  const text = (value: string) => Buffer.from(value).toString('hex');
  const options = ['digest:SHA256', `hexkey:${secret.toString('hex')}`, `hexsalt:${text('vram-residency/seal/v1')}`];
  const flags = [...options, `hexinfo:${text('gpu-host-7')}`].flatMap((option) => ['-kdfopt', option]);
  const derived = execFileSync('openssl', ['kdf', '-keylen', '32', ...flags, '-binary', 'HKDF']);
  t.same(derived, deriveSealKey(secret, 'gpu-host-7').secret);
});
