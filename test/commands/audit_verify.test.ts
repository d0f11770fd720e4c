import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { forge, linesOf, logAt, logFiles, readChain, sealed, secret } from '../support/audit.js';
import { run, temporaryDirectory } from '../support/process.js';

/** A log in several files, and its secret. */
function logIn(t: Test, maxBytes = 1e9) {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'audit.log');
  const log = logAt(path, { maxBytes });
  for (let index = 0; index < 300; index++) log.append([sealed(`shard-${index}`)]);
  log.checkpoint('stop');
  log.close();
  const keyFile = join(directory, 'key');
  writeFileSync(keyFile, `${secret}\n`, { mode: 0o600 });
  const verify = async (...args: string[]) => {
    const { exited, output, errors } = run(t, directory, ['audit', 'verify', ...args]);
    return { status: await exited, output: output(), errors: errors() };
  };
  return { directory, path, keyFile, verify };
}

t.test('a whole log: 0, with its extent, and whether signatures were looked at', async (t) => {
  const { path, keyFile, verify } = logIn(t);
  const count = readChain(path).length;
  t.match(await verify(path), {
    status: 0,
    output: new RegExp(`^whole: entries 1 to ${count}, 2 checkpoints; .*not checked`),
  });
  t.match(await verify(path, '--key-file', keyFile), { status: 0, output: /their signatures hold/ });
});

t.test('a log in several files is found by its last, or given file by file', async (t) => {
  const { path, keyFile, verify } = logIn(t, 30_000);
  const files = logFiles(path);
  t.ok(files.length > 3);
  const count = readChain(path).length;
  t.match(await verify(path), { status: 0, output: new RegExp(`entries 1 to ${count},`) });
  t.match(await verify(...files, '--key-file', keyFile), { status: 0, output: new RegExp(`entries 1 to ${count},`) });
  t.match(await verify(...files.slice(1)), { status: 0, output: /entries [1-9]\d+ to/ });
  t.match(await verify(files[1] ?? '', files[0] ?? ''), { status: 1, output: /^tampered: seq/ });
  renameSync(path, `${path}.000000999999`);
  t.match(
    await verify(path),
    { status: 0, output: new RegExp(`entries 1 to ${count},`) },
    'a crash before the next began',
  );
});

t.test('tampered: 1, and the seq of the first bad entry', async (t) => {
  const { path, verify } = logIn(t);
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('shard-41', 'shard-14'));
  t.match(await verify(path), { status: 1, output: /^tampered: seq 42 .*line 42\)\n$/ });
});

t.test('a torn last line: 3', async (t) => {
  const { path, verify } = logIn(t);
  appendFileSync(path, '{"seq":');
  t.match(await verify(path), { status: 3, output: /^torn: entries 1 to 302, .*next start closes/ });
});

t.test(
  'a kept checkpoint finds what was cut off or written anew; a line of the log will do, or the statement',
  async (t) => {
    const { directory, path, keyFile, verify } = logIn(t);
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
    t.match(await verify(path), { status: 0 }, 'nothing of it is missed');
    t.match(await verify(path, '--checkpoint', kept), { status: 1, output: /^tampered: seq 201 / });
  },
);

t.test('a checkpoint of another key is none', async (t) => {
  const { directory, path, keyFile, verify } = logIn(t);
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
    errors: /there is no checkpoint/,
  });
  writeFileSync(join(directory, 'other'), 'another-secret-0123456789abcdef01234567', { mode: 0o600 });
  t.match(await verify(path, '--key-file', join(directory, 'other')), {
    status: 1,
    output: /^tampered: seq 256 .*signed/,
  });
  t.match(await verify(path, '--key-file', join(directory, 'other'), '--key-file', keyFile), { status: 0 });
  writeFileSync(join(directory, 'kept'), [lines.at(-1), forge(lines.at(-1) ?? '', { checkpoint: forged })].join('\n'));
  t.match(await verify(path, '--checkpoint', join(directory, 'kept')), { status: 66, errors: /contradict/ });
});

t.test('what can not be read or understood is neither whole nor tampered', async (t) => {
  const { directory, verify } = logIn(t);
  t.match(await verify(join(directory, 'none')), { status: 66, errors: /ENOENT/ });
  t.match(await verify(directory), { status: 66, errors: /EISDIR/ });
  t.match(await verify(), { status: 64, errors: /Usage/ });
  t.match(await verify('--chekpoint', 'x'), { status: 64, errors: /--chekpoint/ });
  const { exited, errors } = run(t, directory, ['audit']);
  t.equal(await exited, 64);
  t.match(errors(), /Usage/);
});
