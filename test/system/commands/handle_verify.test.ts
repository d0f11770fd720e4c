import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { signHandle } from '../../../src/seal/handle.js';
import { jwkOf } from '../../../src/seal/jwk.js';
import { deriveSealKey, readPrivateKey } from '../../../src/seal/key.js';
import { handleClaims as claims } from '../../support/claims.js';
import { newPrivateKey } from '../../support/key_files.js';
import { run, temporaryDirectory } from '../../support/process.js';

const secret = 'a-secret-of-at-least-thirty-two-bytes';
const pair = readPrivateKey(newPrivateKey());
const shared = signHandle(claims, deriveSealKey(Buffer.from(secret), 'worker-1'));
const signed = signHandle(claims, pair);

t.test('the secret or the public keys verify a handle without its worker', async (t) => {
  const directory = temporaryDirectory(t);
  const file = (name: string, content: string) => {
    writeFileSync(join(directory, name), content, { mode: 0o600 });
    return join(directory, name);
  };
  const bySecret = ['--secret-file', file('secret', `${secret}\n`), '--worker-id', 'worker-1'];
  const byKeys = ['--jwks', file('jwks.json', JSON.stringify({ keys: [jwkOf(pair)] }))];
  const none = ['--jwks', file('none.json', '{"keys":[]}')];
  const altered = `${signed.slice(0, -5)}AAAAA`;
  const cases: readonly (readonly [string, readonly string[], number, RegExp | object])[] = [
    ['a shared secret', [shared, ...bySecret], 0, { authentic: true, reason: null, current: null, claims }],
    ['public keys', [signed, ...byKeys], 0, { authentic: true, reason: null, current: null, claims }],
    ['public keys and the right worker id', [signed, ...byKeys, '--worker-id', 'worker-1'], 0, { authentic: true }],
    [
      'public keys and another worker id',
      [signed, ...byKeys, '--worker-id', 'worker-2'],
      1,
      { reason: 'unknown_key', claims: null },
    ],
    ['altered', [altered, ...byKeys], 1, { authentic: false, reason: 'signature', claims: null }],
    ['nonsense', ['nonsense', ...byKeys], 1, { authentic: false, reason: 'malformed' }],
    ['another key', [shared, ...byKeys], 1, { authentic: false, reason: 'unknown_key' }],
    ['another worker id', [shared, ...bySecret.slice(0, 3), 'worker-2'], 1, { reason: 'unknown_key' }],
    ['no key', [shared], 64, /--secret-file or --jwks/],
    ['both keys', [shared, ...bySecret, ...byKeys], 64, /--secret-file or --jwks/],
    ['no worker id', [shared, ...bySecret.slice(0, 2)], 64, /--worker-id/],
    ['no handle', byKeys, 64, /one handle/],
    ['two handles', [shared, signed, ...byKeys], 64, /one handle/],
    ['an unknown option', [shared, '--key', 'x'], 64, /--key/],
    ['no such file', [shared, '--jwks', join(directory, 'absent')], 66, /--jwks/],
    ['no such secret', [shared, '--secret-file', 'absent', '--worker-id', 'w'], 66, /--secret-file/],
    ['a set without keys', [shared, ...none], 66, /no Ed25519 key/],
    ['not a key set', [shared, '--jwks', file('text', secret)], 66, /not a JWK set/],
  ];
  for (const [name, args, status, expected] of cases) {
    const command = run(t, directory, ['handle', 'verify', ...args]);
    t.equal(await command.exited, status, `${name}: ${command.errors()}`);
    if (expected instanceof RegExp) t.match(command.errors(), expected, name);
    else t.match(JSON.parse(command.output()), expected, name);
    t.notMatch(command.output() + command.errors(), secret, 'the output does not show the secret');
    if (status === 0) t.match(command.errors(), /may not be current: the worker may have restarted \(boot_id\)/, name);
  }
});

t.test('- reads the handle from stdin', async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'jwks.json'), JSON.stringify({ keys: [jwkOf(pair)] }));
  const command = run(t, directory, ['handle', 'verify', '-', '--jwks', 'jwks.json']);
  command.child.stdin?.end(`${signed}\n`);
  t.equal(await command.exited, 0);
  t.match(JSON.parse(command.output()), { authentic: true });
});
