import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { advisedCodes } from '../../../src/commands/client/advice.js';
import { ProblemError, problemText } from '../../../src/commands/client/client_error.js';
import { toPeerError } from '../../../src/commands/client/connection_error.js';
import { readToken } from '../../../src/commands/client/credentials.js';
import { digestOption, gpuOption, integerOption, prefixFrom } from '../../../src/commands/client/numbers.js';
import { isLoopback, workerUrl } from '../../../src/commands/client/worker_address.js';
import { errorCodes } from '../../../src/errors.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';

t.test('the URL of the worker', async (t) => {
  const cases: readonly (readonly [string | undefined, NodeJS.ProcessEnv, string])[] = [
    [undefined, {}, 'http://127.0.0.1:8001/'],
    [undefined, { WORKER_BIND_ADDR: '0.0.0.0:9' }, 'http://127.0.0.1:9/'],
    [undefined, { WORKER_BIND_ADDR: '[::]:9', WORKER_TLS_CERT_FILE: 'x' }, 'https://[::1]:9/'],
    [undefined, { WORKER_BIND_ADDR: '0.0.0.0:9', VRAM_WORKER_URL: 'https://lab/worker' }, 'https://lab/worker/'],
    ['http://a', { VRAM_WORKER_URL: 'http://b' }, 'http://a/'],
  ];
  for (const [option, environment, url] of cases) t.equal(workerUrl(option, environment).href, url);
  t.throws(() => workerUrl(undefined, { WORKER_BIND_ADDR: '127.0.0.1:0' }), /no fixed port: set --url/);
  t.ok(['http://localhost', 'http://127.1.2.3', 'http://[::1]:8'].every((url) => isLoopback(new URL(url))));
  t.notOk(['http://127.0.0.1.lab', 'http://lab', 'http://10.0.0.1'].some((url) => isLoopback(new URL(url))));
});

t.test('the token of the local worker is never sent to another host', async (t) => {
  const directory = temporaryDirectory(t);
  const file = join(directory, 'token');
  writeFileSync(file, 'local-token\n');
  const local = { WORKER_API_TOKEN_FILE: file };
  const here = new URL('http://127.0.0.1:8001/');
  const elsewhere = new URL('http://lab:8001/');
  t.strictSame(await readToken(undefined, here, local), { text: 'local-token', from: file });
  t.equal(await readToken(undefined, elsewhere, local), undefined);
  t.match(await readToken(file, elsewhere, {}), { text: 'local-token' });
  t.match(await readToken(undefined, elsewhere, { ...local, VRAM_WORKER_TOKEN_FILE: file }), { text: 'local-token' });
  t.match(await readToken(undefined, elsewhere, { VRAM_WORKER_TOKEN: 'abc==' }), { text: 'abc==' });
  writeFileSync(file, 'a\nb');
  await t.rejects(readToken(file, here, {}), /not a bearer token/);
  await t.rejects(readToken('/dev/zero', here, {}), /larger than 1 MiB/);
});

t.test('an error has its code, its detail and what to do, in one line', async (t) => {
  const problem = { code: 'VRAM_OOM', detail: 'Not enough memory.', status: 507, retriable: true };
  t.equal(problemText(problem), 'VRAM_OOM: Not enough memory. Release shards with vram-worker rm, or allow more GPUs.');
  const source = { ...problem, code: 'SOURCE_FORBIDDEN', detail: 'The repository is not in repos of the source hub' };
  t.match(problemText(source), / hub\. Check the worker's WORKER_SOURCES_FILE, or .* --name\.$/);
  const format = { ...problem, code: 'FORMAT_INVALID', detail: 'a\u001b.gguf: bad.', rule: 'magic' };
  t.match(problemText(format), /^FORMAT_INVALID: a\\u\{1b\}\.gguf: bad \[rule magic\]\. docs\/formats\.md/);
  const codes = ['AUTH_FAILED', 'FORBIDDEN', 'SOURCE_FORBIDDEN', 'VRAM_OOM'];
  const statuses = codes.map((code) => new ProblemError({ ...problem, code, retriable: code === 'VRAM_OOM' }));
  t.strictSame(
    statuses.map(({ status }) => status),
    [77, 77, 1, 75],
  );
  const known: readonly string[] = errorCodes;
  const later = ['PULL_CONFLICT', 'TOO_MANY_PULLS'];
  for (const code of advisedCodes) t.ok(known.includes(code) || later.includes(code), code);
});

t.test('a failed connection says why', async (t) => {
  const cases = [
    ['ECONNREFUSED', /cannot reach the worker at u \(ECONNREFUSED\): start it, or set --url/],
    ['ENOTFOUND', /cannot reach/],
    ['ECONNRESET', /ended the connection/],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', /unknown authority: set --ca-file/],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', /unknown authority/],
    ['ERR_TLS_CERT_ALTNAME_INVALID', /certificate for another host/],
    ['CERT_HAS_EXPIRED', /invalid certificate/],
    ['ERR_SSL_WRONG_VERSION_NUMBER', /does not use TLS: use http/],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', /requires a client certificate/],
    ['HPE_INVALID_CONSTANT', /does not answer as an HTTP server/],
  ] as const;
  for (const [code, message] of cases)
    t.match(toPeerError('u', Object.assign(new Error(''), { code })).message, message);
});

t.test('options', async (t) => {
  t.equal(integerOption('n', '5', { minimum: 1, maximum: 9 }), 5);
  for (const text of ['', '0', '10', '1.5', '05', '1e1', '-1'])
    t.throws(() => integerOption('n', text, { minimum: 1, maximum: 9 }), /--n must be an integer from 1 to 9/);
  t.strictSame(gpuOption(['0,1', '7']), [0, 1, 7]);
  for (const texts of [[''], ['0,0'], ['x'], ['65536'], ['1,'], ['-1']])
    t.throws(() => gpuOption(texts), /--gpu must be/);
  t.equal(digestOption('expect', 'A'.repeat(64)), `sha256:${'a'.repeat(64)}`);
  t.throws(() => digestOption('expect', 'sha256:a'), /--expect must be/);
  t.equal(prefixFrom('模 a__b.c--'), 'a-b-c');
  t.equal(prefixFrom('模'), 'model');
});
