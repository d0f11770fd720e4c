import fc from 'fast-check';
import t from 'tap';
import { digestOf, parseDigest } from '../../src/seal/digest.js';

const hex = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'));

t.test('a digest is parsed with or without its prefix, in either case, and formatted in one form', async () => {
  fc.assert(
    fc.property(hex, (text) => {
      const digest = `sha256:${text}`;
      t.equal(parseDigest(text, 'expected_digest'), digest);
      t.equal(parseDigest(digest, 'expected_digest'), digest);
      t.equal(parseDigest(text.toUpperCase(), 'expected_digest'), digest);
      t.equal(digestOf(Buffer.from(text, 'hex')), digest);
    }),
    { numRuns: 50 },
  );
});

t.test('any other text is rejected, and the error names the field', async () => {
  const wrong = fc.string().filter((text) => !/^(sha256:)?[0-9a-fA-F]{64}$/.test(text));
  const near = [
    '',
    'sha256:',
    'a'.repeat(63),
    'a'.repeat(65),
    `sha512:${'a'.repeat(64)}`,
    `${'a'.repeat(64)}\n`,
    `${'a'.repeat(63)}g`,
    `${'a'.repeat(64)}\0`,
  ];
  const rejected = { code: 'INVALID_PARAMS', message: /expected_digest/ };
  for (const text of near) t.throws(() => parseDigest(text, 'expected_digest'), rejected, JSON.stringify(text));
  fc.assert(fc.property(wrong, (text) => void t.throws(() => parseDigest(text, 'expected_digest'), rejected)));
});
