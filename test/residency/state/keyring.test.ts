import t from 'tap';
import { Keyring } from '../../../src/residency/state/keyring.js';
import { deriveSealKey } from '../../../src/seal/key.js';

const keyOf = (name: string) => deriveSealKey(Buffer.from(name.padEnd(32, '.')), 'worker-1');
const wiped = Buffer.alloc(32);

t.test('an expired key is overwritten when it is dropped, and a wipe overwrites all keys', async (t) => {
  const [one, two] = [keyOf('one'), keyOf('two')];
  const ring = new Keyring(one);
  ring.rotate(two, performance.now() + 60_000, () => false);
  ring.dropExpired(() => false);
  t.notOk(one.secret.equals(wiped), 'a key is kept during its grace');
  ring.rotate(keyOf('three'), 0, () => false);
  ring.dropExpired(() => false);
  t.ok(two.secret.equals(wiped));
  ring.wipe();
  t.ok(one.secret.equals(wiped));
  t.ok(ring.current.alg === 'HS256' && ring.current.secret.equals(wiped));
});
