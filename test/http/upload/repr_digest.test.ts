import { createHash } from 'node:crypto';
import t from 'tap';
import { reprDigest } from '../../../src/http/upload/repr_digest.js';

const hash = createHash('sha256').update('shard').digest();
const base64 = hash.toString('base64');
const expected = `sha256:${hash.toString('hex')}`;

t.test('the SHA-256 is found among other algorithms', async (t) => {
  t.equal(reprDigest(`sha-256=:${base64}:`), expected);
  t.equal(reprDigest(`sha-512=:AAAA:, sha-256=:${base64}:,md5=:AA==:`), expected);
  t.equal(reprDigest(`sha-256=:${base64}:, sha-256=:${base64}:`), expected, 'said twice is said once');
  t.equal(reprDigest(`sha-256=:${base64}:;x=1; y`), expected, 'parameters say nothing to us');
});

t.test('algorithms that we do not know are passed over', async (t) => {
  t.equal(reprDigest('sha-512=:AAAA:'), undefined);
});

t.test('what is malformed is refused: a check must not be lost by a typo', async (t) => {
  const other = createHash('sha256').update('other').digest('base64');
  for (const header of [
    '',
    'sha-256',
    `sha-256=${base64}`,
    `sha-256=:${base64}`,
    'sha-256=:AAAA:',
    `sha-256=:${base64}:;`,
    `SHA-256=:${base64}:`,
    `sha-256=:${base64.slice(0, 10)}!${base64.slice(11)}:`,
    `sha-256=:${base64}:,`,
    `sha-256=:${base64}:, sha-256=:${other}:`,
  ]) {
    t.throws(() => reprDigest(header), { code: 'INVALID_PARAMS' }, header);
  }
});
