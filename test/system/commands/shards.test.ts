import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { Authority } from '../../support/certificates.js';
import { run, startProcess, temporaryDirectory, type WorkerProcess } from '../../support/process.js';

/** Runs a command to its end, in the directory of the worker, as a user of the quick start does. */
async function ask(t: Test, worker: WorkerProcess, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const started = run(t, worker.directory, args, { VRAM_WORKER_URL: worker.url, ...env });
  return { status: await started.exited, output: started.output(), errors: started.errors() };
}

async function commit(worker: WorkerProcess, shardId: string, body: Buffer, modelRef = 'm'): Promise<void> {
  const query = new URLSearchParams({ shard_id: shardId, model_ref: modelRef });
  const headers = { authorization: worker.authorization };
  const answer = await fetch(`${worker.url}/v1/commit?${query}`, { method: 'PUT', headers, body });
  if (!answer.ok) throw new Error(await answer.text());
}

t.test('a user lists, verifies and releases shards', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t));
  t.match(await ask(t, worker, ['ls']), {
    status: 0,
    output: /^SHARD {2}MODEL {2}GPU {2}SIZE {2}STATE {2}VERIFIED\n$/,
  });
  await commit(worker, 'a-0', patternBytes(5000));
  await commit(worker, 'b-0', patternBytes(2 ** 21), 'other');
  const listed = await ask(t, worker, ['ls']);
  t.match(listed, { status: 0, output: /^SHARD .*\na-0 +m +\d +4\.88 KiB {2}sealed +\ds ago\nb-0 +other .*2\.00 MiB/ });
  t.match((await ask(t, worker, ['ls', '--json', '--model-ref', 'other'])).output, /^{"shard_id":"b-0",[^\n]*}\n$/);
  t.match(await ask(t, worker, ['ls', '--state', 'lost']), { status: 1, errors: /INVALID_PARAMS/ });
  t.match(await ask(t, worker, ['verify', '--all']), { status: 0, output: /^a-0 {2}verified.*\nb-0 {2}verified/ });
  t.match(await ask(t, worker, ['verify', 'a-0', 'none', '--json']), {
    status: 1,
    output: /^{"shard_id":"a-0","verified":true.*\n{"shard_id":"none","verified":false,"problem":{/,
    errors: /none: NOT_FOUND: /,
  });
  t.match(await ask(t, worker, ['rm', 'none', 'a-0']), {
    status: 1,
    output: 'a-0  released\n',
    errors: /none: NOT_FOUND/,
  });
  t.match(await ask(t, worker, ['rm', 'b-0']), { status: 0, output: 'b-0  released\n' });
  t.match((await ask(t, worker, ['ls'])).output, /^SHARD[^\n]*\n$/);
});

t.test('a damaged shard is reported with its ranges, and the exit status is 1', async (t) => {
  const directory = temporaryDirectory(t);
  const worker = await startProcess(t, directory, { CUDA_SIM_DIR: directory });
  const shard = patternBytes(2 ** 20);
  await commit(worker, 'a-0', shard);
  const path = join(directory, 'gpu0-memory.vram');
  const memory = readFileSync(path);
  const offset = memory.indexOf(shard.subarray(0, 4096)) + 2 ** 19 + 7;
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.of((memory[offset] ?? 0) ^ 1), 0, 1, offset);
  closeSync(file);
  t.match(await ask(t, worker, ['verify', 'a-0']), {
    status: 1,
    output: 'a-0  NOT VERIFIED  damaged: 524288 bytes at 524288\n',
  });
});

t.test('a token that is missing, wrong or without the right gives status 77 and says what to do', async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'read'), 'r'.repeat(40), { mode: 0o600 });
  const worker = await startProcess(t, directory, { WORKER_READ_TOKEN_FILE: join(directory, 'read') });
  const wrong = { VRAM_WORKER_TOKEN: 'x'.repeat(40) };
  t.match(await ask(t, worker, ['ls'], wrong), {
    status: 77,
    errors: /^vram-worker: AUTH_FAILED: .* The worker refused the token of VRAM_WORKER_TOKEN: check --token-file/,
  });
  const elsewhere = run(t, temporaryDirectory(t), ['ls', '--url', worker.url]);
  t.equal(await elsewhere.exited, 77);
  t.match(elsewhere.errors(), /No token was sent: set --token-file or VRAM_WORKER_TOKEN_FILE/);
  t.match(await ask(t, worker, ['ls', '--token-file', 'read']), { status: 0 });
  t.match(await ask(t, worker, ['rm', 'a', '--token-file', 'read']), {
    status: 77,
    errors: /FORBIDDEN: .*Use the API token/,
  });
  t.match(await ask(t, worker, ['ls', '--token-file', 'none']), { status: 66, errors: /--token-file: ENOENT/ });
  writeFileSync(join(directory, 'bad'), 'two words');
  t.match(await ask(t, worker, ['ls', '--token-file', 'bad']), { status: 66, errors: /not a bearer token/ });
  t.match(await ask(t, worker, ['ls', '--token', 'x']), { status: 64, errors: /unknown option --token\n/ });
});

t.test('TLS: the authority, the name and a client certificate are checked', async (t) => {
  const authority = new Authority(t);
  const { certFile, keyFile } = authority.issue('worker');
  const { certFile: caFile } = authority.certificate;
  const tls = { WORKER_TLS_CERT_FILE: certFile, WORKER_TLS_KEY_FILE: keyFile };
  const worker = await startProcess(t, temporaryDirectory(t), tls);
  t.match(await ask(t, worker, ['ls']), { status: 69, errors: /certificate of an unknown authority: set --ca-file/ });
  t.match(await ask(t, worker, ['ls', '--ca-file', caFile]), { status: 0 });
  t.match(await ask(t, worker, ['ls'], { VRAM_WORKER_CA_FILE: caFile }), { status: 0 });
  t.match(await ask(t, worker, ['ls', '--ca-file', keyFile]), { status: 69 });
  t.match(await ask(t, worker, ['ls', '--ca-file', 'package.json']), { status: 66 });
  const plain = worker.url.replace('https', 'http');
  t.match(await ask(t, worker, ['ls', '--url', plain]), { status: 69 });
  const other = await startProcess(t, temporaryDirectory(t), { ...tls, WORKER_TLS_CLIENT_CA_FILE: caFile });
  t.match(await ask(t, other, ['ls', '--ca-file', caFile]), {
    status: 69,
    errors: /client certificate|ended the connection/,
  });
  const client = authority.issue('client');
  const options = ['--ca-file', caFile, '--cert-file', client.certFile, '--key-file', client.keyFile];
  t.match(await ask(t, other, ['ls', ...options]), { status: 0 });
  t.match(await ask(t, other, ['ls', ...options.slice(0, 4)]), { status: 64, errors: /must be set together/ });
});

t.test('a peer that is not a worker, or not there, gives status 69 and says what to do', async (t) => {
  const directory = temporaryDirectory(t);
  const respond = async (status: number, headers: Record<string, string> = {}, body = 'secret page') => {
    const server = createServer((_, response) => void response.writeHead(status, headers).end(body));
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => void server.close());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const cases = [
    [await respond(302, { location: 'http://127.0.0.1:1/' }), /answers with a redirect \(302\): set --url/],
    [await respond(404), /answered with status 404, but not as a worker: check --url/],
    [await respond(502), /answered with status 502/],
    [await respond(200, {}, '{"shards":7,"next_cursor":null}'), /unexpected list of shards: .*shards/],
    [await respond(200, {}, 'x'.repeat(17 * 1024 ** 2)), /larger than 16 MiB/],
    [
      'http://127.0.0.1:1',
      /cannot reach the worker at http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\): start it, or set --url/,
    ],
    ['http://does-not-exist.invalid', /cannot reach the worker/],
  ] as const;
  for (const [url, message] of cases) {
    const { exited, errors } = run(t, directory, ['ls', '--url', url]);
    t.equal(await exited, 69, url);
    t.match(errors(), message);
    t.notMatch(errors(), /secret/);
  }
  const garbage = createTcpServer((socket) => void socket.end('SSH-2.0\r\n'));
  await new Promise<void>((resolve) => void garbage.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void garbage.close());
  const url = `http://127.0.0.1:${(garbage.address() as AddressInfo).port}`;
  const { exited, errors } = run(t, directory, ['ls', '--url', url]);
  t.equal(await exited, 69);
  t.match(errors(), /does not answer as an HTTP server/);
});

t.test('the URL comes from the option, VRAM_WORKER_URL, or the address of the worker', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t));
  const { port } = new URL(worker.url);
  const environments = [{ VRAM_WORKER_URL: worker.url }, { WORKER_BIND_ADDR: `0.0.0.0:${port}` }];
  for (const env of environments) t.equal(await run(t, worker.directory, ['ls'], env).exited, 0);
  const invalid = ['x', 'ftp://a', 'http://user:secret@a', 'http://a?b', 'http://a#b'];
  for (const url of invalid) {
    const { exited, errors } = run(t, worker.directory, ['ls', '--url', url]);
    t.equal(await exited, 64, url);
    t.match(errors(), /--url must/);
    t.notMatch(errors(), /secret/);
  }
});

t.test('each command has help with an example, and invalid usage shows its usage', async (t) => {
  const directory = temporaryDirectory(t);
  for (const name of ['ls', 'verify', 'rm']) {
    const { exited, output } = run(t, directory, [name, '--help']);
    t.equal(await exited, 0);
    t.match(output(), new RegExp(`^Usage: vram-worker ${name} `));
    t.match(output(), new RegExp(`Example:\n  vram-worker ${name} `));
    const invalid = run(t, directory, [name, '--unknown']);
    t.equal(await invalid.exited, 64);
    t.match(invalid.errors(), new RegExp(`--unknown[\\s\\S]*\nUsage: vram-worker ${name} `));
  }
  for (const args of [['rm'], ['verify'], ['verify', '--all', 'x'], ['ls', 'x']])
    t.equal(await run(t, directory, args).exited, 64, args.join(' '));
});
