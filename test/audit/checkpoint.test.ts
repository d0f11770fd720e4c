import t from 'tap';
import { readCheckpoint, signatureFault } from '../../src/audit/checkpoint.js';
import { deriveSealKey } from '../../src/seal/key.js';
import { secret } from '../support/audit.js';
import { logOf } from '../support/audit_verify.js';

t.test('a checkpoint has the time of its entry, and is valid if one of the keys signed it', async (t) => {
  const { time, checkpoint } = JSON.parse((await logOf(t, 1)).at(-1) ?? '');
  t.equal(readCheckpoint(checkpoint)?.iat, Math.floor(Date.parse(time) / 1000));
  const key = deriveSealKey(Buffer.from(secret), 'worker-1');
  const other = deriveSealKey(Buffer.from(secret), 'worker-2');
  t.equal(
    signatureFault(checkpoint, () => [other, key]),
    null,
  );
  t.equal(
    signatureFault(checkpoint, () => [other]),
    'unknown_key',
  );
  const altered = `${checkpoint.slice(0, checkpoint.lastIndexOf('.'))}.${'A'.repeat(43)}`;
  t.equal(
    signatureFault(altered, () => [other, key]),
    'signature',
  );
});
