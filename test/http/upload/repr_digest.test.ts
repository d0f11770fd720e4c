import { createHash } from 'node:crypto';
import t from 'tap';
import { reprDigest } from '../../../src/http/upload/repr_digest.js';

const hash = createHash('sha256').update('shard').digest();
const base64 = hash.toString('base64');
const expected = `sha256:${hash.toString('hex')}`;

t.test('the SHA-256 is found among other algorithms', async (t) => {
  t.equal(reprDigest(`sha-256=:${base64}:`), expected);
  t.equal(reprDigest(`sha-512=:AAAA:, sha-256=:${base64}:,md5=:AA==:`), expected);
  t.equal(reprDigest(`sha-256=:${base64}:, sha-256=:${base64}:`), expected, 'a repeated digest counts once');
  t.equal(reprDigest(`sha-256=:${base64}:;x=1; y`), expected, 'parameters are ignored');
});

t.test('unknown algorithms are ignored', async (t) => {
  t.equal(reprDigest('sha-512=:AAAA:'), undefined);
});

t.test('a malformed header is refused, so that a typo does not skip the check', async (t) => {
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
