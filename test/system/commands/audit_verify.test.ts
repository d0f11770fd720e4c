import { generateKeyPairSync } from 'node:crypto';
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { writeCheckpoint } from '../../../src/audit/checkpoint.js';
import { Signer } from '../../../src/residency/state/signer.js';
import { jwkOf } from '../../../src/seal/jwk.js';
import { deriveSealKey, readPrivateKey } from '../../../src/seal/key.js';
import { forge, identity, linesOf, logAt, logFiles, readChain, sealed, secret } from '../../support/audit.js';
import { newPrivateKey } from '../../support/key_files.js';
import { run, temporaryDirectory } from '../../support/process.js';

/** A log, in several files if `maxBytes` is small, and its secret. */
async function logIn(t: Test, maxBytes = 1e9, worker = identity) {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'audit.log');
  const log = logAt(path, { maxBytes, checkpoint: (link, reason) => writeCheckpoint(worker, link, reason) });
  for (let index = 0; index < 300; index++) await log.append([sealed(`shard-${index}`)]);
  await log.checkpoint('stop');
  await log.close();
  const keyFile = join(directory, 'key');
  writeFileSync(keyFile, `${secret}\n`, { mode: 0o600 });
  const verify = async (...args: string[]) => {
    const { exited, output, errors } = run(t, directory, ['audit', 'verify', ...args]);
    return { status: await exited, output: output(), errors: errors() };
  };
  return { directory, path, keyFile, verify };
}

t.test('a whole log: exit status 0, the range of entries, and whether signatures were verified', async (t) => {
  const { path, keyFile, verify } = await logIn(t);
  const count = readChain(path).length;
  t.match(await verify(path), {
    status: 0,
    output: new RegExp(`^whole: entries 1 to ${count}, 2 checkpoints\\. .*not verified`),
  });
  t.match(await verify(path, '--key-file', keyFile), { status: 0, output: /signatures are valid/ });
  writeFileSync(path, `${readFileSync(path, 'utf8').split('\n').slice(0, 5).join('\n')}\n`);
  const unsigned = /^whole: entries 1 to 5, 0 checkpoints\. .*no signature was verified/;
  t.match(await verify(path, '--key-file', keyFile), { status: 0, output: unsigned });
  t.match(await verify(path), { status: 0, output: unsigned }, 'a key would not help');
});

t.test('the last file of a log includes the rotated ones; all files can be named too', async (t) => {
  const { path, keyFile, verify } = await logIn(t, 30_000);
  const files = logFiles(path);
  t.ok(files.length > 3);
  const count = readChain(path).length;
  t.match(await verify(path), { status: 0, output: new RegExp(`entries 1 to ${count},`) });
  t.match(await verify(...files, '--key-file', keyFile), { status: 0, output: new RegExp(`entries 1 to ${count},`) });
  t.match(await verify(...files.slice(1)), { status: 0, output: /entries [1-9]\d+ to/ });
  t.match(await verify(files[1] ?? '', files[0] ?? ''), { status: 1, output: /^tampered: entry/ });
  renameSync(path, `${path}.000000999999`);
  t.match(
    await verify(path),
    { status: 0, output: new RegExp(`entries 1 to ${count},`) },
    'after a crash during a rotation',
  );
});

t.test('a changed entry: exit status 1, and the number of the first bad entry', async (t) => {
  const { path, verify } = await logIn(t);
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('shard-41', 'shard-14'));
  t.match(await verify(path), { status: 1, output: /^tampered: entry 42 .*line 42\)\.\n$/ });
});

t.test('a torn last line: exit status 3', async (t) => {
  const { path, verify } = await logIn(t);
  appendFileSync(path, '{"seq":');
  t.match(await verify(path), {
    status: 3,
    output: /^torn: entries 1 to 302, .*removes and records it at its next start/,
  });
});

t.test('a log without an entry: exit status 4', async (t) => {
  const { path, directory, verify } = await logIn(t);
  writeFileSync(path, '');
  t.match(await verify(path), { status: 4, output: /^empty: no entry, so nothing was verified/ });
  const line = join(directory, 'line');
  writeFileSync(line, '{"seq":');
  t.match(await verify(line), { status: 3, output: /^torn: no entries/ });
});

t.test('a kept checkpoint, as a log line or a bare JWS, reveals a cut log', async (t) => {
  const { directory, path, keyFile, verify } = await logIn(t);
  const lines = linesOf(path);
  const kept = join(directory, 'kept');
  for (const text of [lines.at(-1) ?? '', JSON.parse(lines.at(-1) ?? '').checkpoint]) {
    writeFileSync(kept, `${text}\n`);
    t.match(await verify(path, '--checkpoint', kept, '--key-file', keyFile), { status: 0 });
  }
  writeFileSync(
    path,
    lines
      .slice(0, 200)
      .map((line) => `${line}\n`)
      .join(''),
  );
  t.match(await verify(path), { status: 0 }, 'without the checkpoint the log looks whole');
  t.match(await verify(path, '--checkpoint', kept), { status: 1, output: /^tampered: entry 201 / });
});

t.test('a checkpoint of another key is not accepted', async (t) => {
  const { directory, path, keyFile, verify } = await logIn(t);
  const lines = linesOf(path);
  const [header, , signature] = JSON.parse(lines.at(-1) ?? '').checkpoint.split('.');
  const claims = { iss: 'worker-1', boot_id: '', iat: 0, reason: 'stop', sequence: 301, hash: 'f'.repeat(64) };
  const forged = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`;
  writeFileSync(join(directory, 'kept'), forged);
  t.match(await verify(path, '--checkpoint', join(directory, 'kept'), '--key-file', keyFile), {
    status: 66,
    errors: /not signed/,
  });
  writeFileSync(join(directory, 'kept'), 'no checkpoint');
  t.match(await verify(path, '--checkpoint', join(directory, 'kept')), {
    status: 66,
    errors: /has no checkpoint/,
  });
  writeFileSync(join(directory, 'other'), 'another-secret-0123456789abcdef01234567', { mode: 0o600 });
  t.match(await verify(path, '--key-file', join(directory, 'other')), {
    status: 1,
    output: /^tampered: entry 256 .*sign/,
  });
  t.match(await verify(path, '--key-file', join(directory, 'other'), '--key-file', keyFile), { status: 0 });
  writeFileSync(join(directory, 'kept'), [lines.at(-1), forge(lines.at(-1) ?? '', { checkpoint: forged })].join('\n'));
  t.match(await verify(path, '--checkpoint', join(directory, 'kept')), { status: 66, errors: /contradict/ });
});

t.test('the private key, the public key or the key set verifies Ed25519 checkpoints', async (t) => {
  const pem = newPrivateKey();
  const pair = readPrivateKey(pem);
  const other = readPrivateKey(newPrivateKey());
  const { directory, path, keyFile, verify } = await logIn(t, 1e9, new Signer('worker-1', 'simulated', pair));
  const file = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(directory, name), content, { mode: 0o600 });
    return join(directory, name);
  };
  const kept = file('kept', `${linesOf(path).at(-1)}\n`);
  const publicPem = pair.publicKey.export({ format: 'pem', type: 'spki' });
  const right: readonly (readonly string[])[] = [
    ['--key-file', file('private.pem', pem)],
    ['--key-file', file('private.der', pair.privateKey.export({ format: 'der', type: 'pkcs8' }))],
    ['--key-file', file('public.pem', publicPem)],
    ['--key-file', file('public.der', pair.publicKey.export({ format: 'der', type: 'spki' }))],
    ['--jwks', file('jwks.json', JSON.stringify({ keys: [jwkOf(other), jwkOf(pair)] }))],
    ['--key-file', keyFile, '--key-file', join(directory, 'public.pem')],
    ['--key-file', keyFile, '--jwks', join(directory, 'jwks.json')],
  ];
  for (const keys of right) {
    const whole = { status: 0, output: /signatures are valid/ };
    t.match(await verify(path, '--checkpoint', kept, ...keys), whole, keys.join(' '));
  }
  const wrong: readonly (readonly string[])[] = [
    ['--key-file', keyFile],
    ['--key-file', file('other.pem', other.publicKey.export({ format: 'pem', type: 'spki' }))],
    ['--jwks', file('other.json', JSON.stringify({ keys: [jwkOf(other)] }))],
  ];
  for (const keys of wrong) {
    t.match(await verify(path, ...keys), { status: 1, output: /^tampered: entry 256 .*sign/ }, keys.join(' '));
    t.match(await verify(path, '--checkpoint', kept, ...keys), { status: 66, errors: /not signed/ }, keys.join(' '));
  }

  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const useless: readonly (readonly [readonly string[], RegExp])[] = [
    [['--key-file', file('ec.pem', publicKey.export({ format: 'pem', type: 'spki' }))], /not an Ed25519 key/],
    [['--key-file', file('ec-private.pem', privateKey.export({ format: 'pem', type: 'pkcs8' }))], /not an Ed25519 key/],
    [['--key-file', join(directory, 'jwks.json')], /use --jwks/],
    [['--key-file', file('short', 'short')], /shorter than 32 bytes/],
    [['--key-file', join(directory, 'absent')], /ENOENT/],
    [['--jwks', file('empty.json', '{"keys":[]}')], /no Ed25519 key/],
    [['--jwks', join(directory, 'absent')], /ENOENT/],
  ];
  for (const [keys, errors] of useless) t.match(await verify(path, ...keys), { status: 66, errors }, keys.join(' '));
});

t.test('a public key is never used as a secret', async (t) => {
  const pair = readPrivateKey(newPrivateKey());
  for (const format of ['pem', 'der'] as const) {
    const published = pair.publicKey.export({ format, type: 'spki' } as never);
    const forger = new Signer('worker-1', 'simulated', deriveSealKey(Buffer.from(published), 'worker-1'));
    const { path, keyFile, verify } = await logIn(t, 1e9, forger);
    writeFileSync(keyFile, published);
    t.match(await verify(path, '--key-file', keyFile), { status: 1, output: /^tampered: entry 256 .*sign/ }, format);
  }
});

t.test('an unreadable file: exit status 66; invalid usage: exit status 64', async (t) => {
  const { directory, verify } = await logIn(t);
  t.match(await verify(join(directory, 'none')), { status: 66, errors: /ENOENT/ });
  t.match(await verify(directory), { status: 66, errors: /EISDIR/ });
  t.match(await verify(), { status: 64, errors: /Usage/ });
  t.match(await verify('--chekpoint', 'x'), { status: 64, errors: /--chekpoint/ });
  const { exited, errors } = run(t, directory, ['audit']);
  t.equal(await exited, 64);
  t.match(errors(), /Usage/);
});
