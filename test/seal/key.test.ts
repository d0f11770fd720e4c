import { createHmac } from 'node:crypto';
import t from 'tap';
import { deriveSealKey } from '../../src/seal/key.js';

const secret = Buffer.from('0123456789abcdef0123456789abcdef');

t.test('the key is derived with HKDF-SHA256 as in RFC 5869', async (t) => {
  const extracted = createHmac('sha256', 'vram-residency/seal/v1').update(secret).digest();
  const expanded = createHmac('sha256', extracted).update('gpu-host-7').update(Buffer.of(1)).digest();
  const key = deriveSealKey(secret, 'gpu-host-7');
  t.same(key.secret, expanded);
  t.equal(key.kid, createHmac('sha256', expanded).update('kid').digest('hex').slice(0, 16));
});
