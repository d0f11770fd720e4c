import t from 'tap';
import { heldDigests, type RequestedDigests } from '../../../src/residency/source/digest_rule.js';

const own = `sha256:${'a'.repeat(64)}` as const;
const other = `sha256:${'b'.repeat(64)}` as const;
const tree = `sha256:${'c'.repeat(64)}` as const;
const claimed = { digest: own, from: 'lfs' } as const;

const ask = (
  requested: Partial<RequestedDigests>,
  claim: typeof claimed | undefined,
  digestRule?: 'require' | 'allow',
) => heldDigests({ flatDigest: true, ...requested }, { claim }, { digestRule });

t.test('a file is held to the digest of the client, else to the claim of its source', async (t) => {
  t.same(ask({ expectedDigest: own }, undefined), { expectedDigest: own, expectedBy: 'client' });
  t.same(ask({ expectedDigest: own }, claimed), { expectedDigest: own, expectedBy: 'client' });
  t.same(ask({}, claimed), { expectedDigest: own, expectedBy: 'source' });
  t.same(ask({ expectedTreeDigest: tree }, claimed), { expectedDigest: own, expectedBy: 'client' });
  t.same(ask({ expectedTreeDigest: tree, flatDigest: false }, claimed), { expectedBy: 'client' });
  t.throws(() => ask({ expectedDigest: other }, claimed), { code: 'DIGEST_MISMATCH' });
  t.throws(() => ask({ expectedDigest: other, expectedTreeDigest: tree, flatDigest: false }, claimed), {
    code: 'DIGEST_MISMATCH',
  });
});

t.test('a file without a digest is refused, unless its source and the client of a pull allow that', async (t) => {
  t.same(ask({}, undefined, 'allow'), {});
  t.same(ask({ digest: 'allow' }, undefined, 'allow'), {});
  t.throws(() => ask({}, undefined), { code: 'INVALID_PARAMS', message: /set expected_digest/ });
  t.throws(() => ask({ digest: 'require' }, undefined, 'allow'), {
    code: 'INVALID_PARAMS',
    message: /digest to allow/,
  });
  t.throws(() => ask({ digest: 'allow' }, undefined), { code: 'SOURCE_FORBIDDEN' });
  t.throws(() => ask({ flatDigest: false }, claimed, 'allow'), { code: 'INVALID_PARAMS', message: /flat_digest/ });
});
