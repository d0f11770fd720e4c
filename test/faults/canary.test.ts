import { spawnSync } from 'node:child_process';
import { createPrivateKey, randomBytes } from 'node:crypto';
import { chownSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { deriveSealKey } from '../../src/seal/key.js';
import { Authority } from '../support/certificates.js';
import { newPrivateKey } from '../support/key_files.js';
import { asOtherUser, canChangeUser, otherUser } from '../support/other_user.js';
import { faultsAfterStart, startProcess, temporaryDirectory } from '../support/process.js';
import { addresses, hits, type Needle, needle, tokenNeedles } from './canary/needles.js';
import { visitAll } from './canary/visit.js';

/** The secrets of a worker, in files that only it can read, and the needles that would reveal them. */
function makeSecrets(t: Test, kind: 'HS256' | 'Ed25519') {
  const directory = temporaryDirectory(t);
  const file = (name: string, content: string | Buffer) => {
    const path = join(directory, name);
    writeFileSync(path, content, { mode: 0o600 });
    if (canChangeUser) chownSync(path, otherUser, otherUser);
    return path;
  };
  const [api, read] = [randomBytes(24).toString('base64url'), randomBytes(24).toString('base64url')];
  const secret = randomBytes(40);
  const pkcs8 = newPrivateKey('pem');
  const authority = new Authority(t);
  const certificate = authority.issue('worker');
  const pem = createPrivateKey(pkcs8);
  const seed = Buffer.from(pem.export({ format: 'jwk' }).d ?? '', 'base64url');
  const tlsKey = Buffer.from(createPrivateKey(certificate.key).export({ format: 'jwk' }).d ?? '', 'base64url');
  const env: NodeJS.ProcessEnv = {
    WORKER_ID: 'canary',
    WORKER_LOG_LEVEL: 'trace',
    WORKER_API_TOKEN_FILE: file('api-token', api),
    WORKER_READ_TOKEN_FILE: file('read-token', `${read}\n`),
    WORKER_SEAL_KEY_FILE: file('seal-key', kind === 'HS256' ? secret : pkcs8),
    WORKER_SEAL_ALG: kind,
    ...(kind === 'HS256'
      ? {}
      : {
          WORKER_TLS_CERT_FILE: file('tls.crt', certificate.cert),
          WORKER_TLS_KEY_FILE: file('tls.key', certificate.key),
        }),
    WORKER_AUDIT_LOG: join(directory, 'audit.jsonl'),
    // One driver call fails, so that the log also has an error with a cause.
    ...faultsAfterStart('cuMemcpyHtoDAsync_v2:2=1'),
  };
  const needles: Needle[] = [
    ...tokenNeedles('the token', api),
    ...tokenNeedles('the read-only token', read),
    needle('the seal secret', secret),
    needle('the seal key', deriveSealKey(secret, 'canary').secret),
    needle('the private key', seed),
    needle('the private key in PKCS#8', pem.export({ format: 'der', type: 'pkcs8' })),
    needle('the private key of TLS', tlsKey),
  ];
  if (canChangeUser) chownSync(directory, otherUser, otherUser);
  return {
    directory,
    env,
    needles,
    tokens: [api, read],
    secret: secret.toString('base64url'),
    ca: authority.certificate.cert,
  };
}

/** The address ranges of device memory in the worker process. A device pointer is an address in one of them. */
function deviceRanges(pid: number): [bigint, bigint][] {
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .filter((line) => /gpu\d+-memory\.vram/.test(line));
  return maps.map((line) => {
    const [from = '0', to = '0'] = (line.split(' ')[0] ?? '').split('-');
    return [BigInt(`0x${from}`), BigInt(`0x${to}`)];
  });
}

t.test('the search finds a secret in every encoding that it looks for', async (t) => {
  const secret = randomBytes(32);
  const spelt = [secret.toString('latin1'), secret.toString('hex'), `x${secret.toString('base64')}`];
  for (const before of ['', 'a', 'ab', 'abc']) {
    spelt.push(Buffer.concat([Buffer.from(before), secret, Buffer.from('end')]).toString('base64url'));
  }
  for (const text of spelt) {
    t.same(hits(new Map([['here', Buffer.from(text, 'latin1')]]), [needle('it', secret)]), ['it in here']);
  }
  t.same(
    addresses(Buffer.from('at 0x7f0012345678, 7f0012345678 or 139638282147448.'), [[0x7f0012345000n, 0x7f0012346000n]])
      .length,
    3,
  );
});

for (const kind of ['HS256', 'Ed25519'] as const) {
  t.test(`no output of the worker contains a secret or a device pointer: ${kind}`, async (t) => {
    const { directory, env, needles, tokens, secret, ca } = makeSecrets(t, kind);
    const command = ['bash', '-c', 'unset NODE_OPTIONS; ulimit -Sc hard && exec "$0" "$@"'];
    const worker = await startProcess(t, directory, env, canChangeUser ? [...asOtherUser, ...command] : command);
    const answers = await visitAll(worker.url, { tokens, secrets: [secret], tls: kind === 'HS256' ? {} : { ca } });
    worker.child.kill('SIGHUP');
    const { pid = 0 } = worker.child;
    const readable = process.getuid?.() === 0;
    const ranges = readable ? deviceRanges(pid) : [];
    t.ok(!readable || ranges.length > 0, 'device memory is mapped in the process');

    if (canChangeUser && existsSync('/usr/bin/gcore')) {
      const out = join(directory, 'taken');
      const taken = spawnSync('env', [...asOtherUser, 'gcore', '-o', out, String(pid)], {
        cwd: directory,
      });
      t.not(taken.status, 0, 'another process of the same user cannot take a core');
    } else t.comment('no core was taken as another user: this needs root and gdb');
    worker.child.kill('SIGABRT');
    t.equal(await worker.exited, 'SIGABRT');
    t.same(
      readdirSync(directory).filter((name) => /core|taken/.test(name)),
      [],
      'no core is left',
    );

    const places = new Map([
      ['answers', answers],
      ['logs', Buffer.from(worker.output() + worker.errors())],
      ['the audit log', readFileSync(join(directory, 'audit.jsonl'))],
    ]);
    const found = hits(places, needles);
    const pointers = [...places.values()].flatMap((content) => addresses(content, ranges));
    t.same(found, []);
    t.same(pointers, []);
    t.match(worker.output(), /"code":"CUDA_ERROR"/, 'a failure with a cause was logged');
    t.comment(`figure: secrets and pointers found (${kind}) ${found.length + pointers.length} of ${needles.length}`);
  });
}
