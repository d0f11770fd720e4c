import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { encodeFrame, maxFrameBytes } from '../../src/ipc/frame.js';
import { AttachClient, framed } from '../support/attach_client.js';
import { startAttachable } from '../support/attachable.js';
import { Clocks } from '../support/clock.js';
import { secretFile } from '../support/key_files.js';
import { newDescriptors, openDescriptors } from '../support/open_descriptors.js';
import { get, upload } from '../support/requests.js';
import { until } from '../support/until.js';
import { scale } from './scale.js';

const execute = promisify(execFile);

const hello = encodeFrame('hello', { version: 1, client: 'test' });

function lengthOf(bytes: number): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes);
  return length;
}

t.test('bytes that are not a frame end the session with an error without an id', async (t) => {
  const { worker, socket } = await startAttachable(t);
  const cases: Record<string, Buffer> = {
    'length 0': lengthOf(0),
    'a length above the bound': lengthOf(maxFrameBytes + 1),
    'the largest length': lengthOf(0xffff_ffff),
    'not UTF-8': framed(Uint8Array.of(0x74, 0xff, 0x3d)),
    'a zero byte': framed('type=list\nid=1\0\n'),
    'no type': framed('id=1\ntype=list\n'),
    'a line without a key': framed('type=list\nid=1\nx\n'),
    'an empty line': framed('type=list\n\nid=1\n'),
    'no id': framed('type=list\n'),
    'two ids': framed('type=list\nid=1\nid=2\n'),
    'a negative id': framed('type=list\nid=-1\n'),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    for (const start of [hello, Buffer.alloc(0)]) {
      const client = new AttachClient(socket);
      client.raw(Buffer.concat([start, bytes]));
      const last = (await client.ended()).at(-1);
      t.match([last?.type, last?.get('id'), last?.get('code')], ['error', undefined, 'INVALID_PARAMS'], name);
      client.close();
    }
  }
  const early = new AttachClient(socket);
  early.send('list', { id: 1 });
  t.match((await early.ended()).at(-1)?.get('detail'), /first frame/);
  early.close();
  t.equal((await get(worker, '/livez')).statusCode, 200);
});

t.test('a request error leaves the session', async (t) => {
  const { worker, socket } = await startAttachable(t);
  const { shard } = (await upload(worker, 'a', randomBytes(5000))).json();
  await upload(worker, 'private', randomBytes(5000), { exportable: 'false' });
  const client = await AttachClient.open(socket);
  const refusals: readonly (readonly [string, Record<string, string | number>, string])[] = [
    ['hello', { version: 1 }, 'INVALID_PARAMS'],
    ['unheard-of', {}, 'INVALID_PARAMS'],
    ['list', { unknown: 'x' }, 'INVALID_PARAMS'],
    ['list', { limit: 0 }, 'INVALID_PARAMS'],
    ['list', { limit: '01' }, 'INVALID_PARAMS'],
    ['list', { cursor: '../..' }, 'INVALID_PARAMS'],
    ['attach', {}, 'INVALID_PARAMS'],
    ['attach', { shard_id: 'a', model_ref: 'model', shard_index: 0 }, 'INVALID_PARAMS'],
    ['attach', { model_ref: 'model' }, 'INVALID_PARAMS'],
    ['attach', { shard_id: '../a' }, 'INVALID_PARAMS'],
    ['attach', { shard_id: 'a', nonce: 'a\u202eb' }, 'INVALID_PARAMS'],
    ['attach', { shard_id: 'a', expected_tree_digest: 'x' }, 'INVALID_PARAMS'],
    ['attach', { shard_id: 'b' }, 'NOT_FOUND'],
    ['attach', { model_ref: 'model', shard_index: 1 }, 'NOT_FOUND'],
    ['attach', { shard_id: 'private' }, 'NOT_EXPORTABLE'],
    ['attach', { shard_id: 'a', gpu_uuid: 'GPU-0' }, 'DEVICE_MISMATCH'],
    ['attach', { shard_id: 'a', expected_tree_digest: '0'.repeat(64) }, 'DIGEST_MISMATCH'],
    ['detach', { lease_id: '0' }, 'NOT_FOUND'],
    ['resume', { lease_id: '0', allocation_id: '0' }, 'STALE_ALLOCATION'],
  ];
  for (const [type, fields, code] of refusals) {
    const answer = await client.ask(type, fields);
    t.match([answer.type, answer.get('code')], ['error', code], `${type} ${JSON.stringify(fields)}`);
  }
  client.raw(framed('type=list\nid=7\nlimit=1\nlimit=1\n'));
  t.match((await client.next()).get('detail'), /Repeated key limit/);
  t.same((await client.ask('list', { model_ref: 'model' })).all('shard'), [
    `a 0 1 5000 ${shard.tree_digest} sealed true model`,
    `private 0 1 5000 ${(await get(worker, '/v1/shards/private')).json().tree_digest} sealed false model`,
  ]);
  const page = await client.ask('list', { limit: 1 });
  t.equal((await client.ask('list', { limit: 1, cursor: page.get('next_cursor') ?? '' })).all('shard').length, 1);
  t.same((await get(worker, '/v1/leases')).json().leases, []);
  t.match((await get(worker, '/v1/shards/a')).json(), { exported_at: null }, 'a refused attach exports nothing');
  client.close();
});

t.test('a frame may arrive in any pieces, and several in one', async (t) => {
  const { worker, socket } = await startAttachable(t);
  await upload(worker, 'a', randomBytes(5000));
  const client = new AttachClient(socket);
  for (const byte of hello) client.raw(Uint8Array.of(byte));
  t.equal((await client.next()).type, 'welcome');
  client.raw(Buffer.concat([1, 2, 3].map((id) => encodeFrame('attach', { id, shard_id: 'a' }))));
  for (const id of ['1', '2', '3']) t.equal((await client.next()).get('id'), id);
  t.equal(client.descriptors.length, 3);
  client.close();
});

t.test('random bytes neither stop the worker nor leave anything open', async (t) => {
  const { worker, socket } = await startAttachable(t);
  await upload(worker, 'a', randomBytes(5000));
  const valid = Buffer.concat([hello, encodeFrame('attach', { id: 1, shard_id: 'a' }), encodeFrame('list', { id: 2 })]);
  const before = openDescriptors();
  const change = fc.record({ at: fc.nat(valid.length - 1), bytes: fc.uint8Array({ maxLength: 8 }), cut: fc.nat(8) });
  const property = fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
    let bytes = valid;
    for (const { at, bytes: inserted, cut } of changes) {
      bytes = Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + cut)]);
    }
    const client = new AttachClient(socket);
    client.raw(bytes);
    // The worker refuses a user's connections above 200 a second.
    await sleep(6);
    client.close();
  });
  await fc.assert(property, { numRuns: scale(150, 20_000) });
  const client = await AttachClient.open(socket);
  t.equal((await client.ask('attach', { shard_id: 'a' })).type, 'attached');
  client.close();
  await until(() => newDescriptors(before).length <= 1, 'the worker kept a descriptor');
});

t.test('the version and the token are checked, and invalid tokens are limited', async (t) => {
  const secret = 'attach-token-0123456789abcdef0123456789';
  const env = { WORKER_ATTACH_TOKEN_FILE: secretFile(t, secret) };
  const { worker, socket } = await startAttachable(t, { env });
  const refusal = async (fields: Record<string, string | number>): Promise<string | undefined> => {
    const client = new AttachClient(socket);
    client.send('hello', fields);
    const code = (await client.ended()).at(-1)?.get('code');
    client.close();
    return code;
  };
  t.equal(await refusal({ version: 2, client: 'x', token: secret }), 'UNSUPPORTED_VERSION');
  t.equal(await refusal({ client: 'x', token: secret }), 'INVALID_PARAMS');
  t.equal(await refusal({ version: 1, client: 'x' }), 'AUTH_FAILED');
  t.equal(
    await refusal({ version: 1, client: 'x', token: worker.token }),
    'AUTH_FAILED',
    'the API token is another one',
  );
  // All of them are in one second, however slow the machine is.
  Clocks.take(t);
  const codes = await Promise.all(
    Array.from({ length: 20 }, () => refusal({ version: 1, client: 'x', token: 'wrong' })),
  );
  t.ok(codes.includes('RATE_LIMITED'));
  (await AttachClient.open(socket, { token: secret })).close();
  const { payload } = await get(worker, '/metrics');
  t.match(payload, /vram_attach_refused_total\{code="AUTH_FAILED"\} [1-9]/);
});

t.test('another user is refused, also if the file lets it connect', { skip: process.geteuid?.() !== 0 }, async (t) => {
  const { socket } = await startAttachable(t);
  const program = `const s = require('net').connect(${JSON.stringify(socket)});
    s.on('data', (d) => process.stdout.write(d.subarray(4))).on('error', (e) => console.log(e.code)).on('close', () => process.exit());`;
  const connect = async () =>
    (await execute(process.execPath, ['-e', program], { uid: 65_534, gid: 65_534, env: {} })).stdout;
  chmodSync(dirname(socket), 0o755);
  t.match(await connect(), 'EACCES', 'the socket file has mode 0600');
  chmodSync(socket, 0o666);
  t.match(await connect(), /code=FORBIDDEN/);
});

t.test('sessions are limited, and a closed one makes room', async (t) => {
  const { socket } = await startAttachable(t);
  const clients: AttachClient[] = [];
  for (let count = 0; count < 48; count++) clients.push(await AttachClient.open(socket));
  const refused = new AttachClient(socket);
  t.equal((await refused.ended()).at(-1)?.get('code'), 'RATE_LIMITED');
  refused.close();
  clients.pop()?.close();
  await until(async () => {
    const client = await AttachClient.open(socket).catch(() => undefined);
    if (client !== undefined) clients.push(client);
    return client !== undefined;
  });
  for (const client of clients) client.close();
});

t.test('a client that sends no greeting is disconnected', async (t) => {
  const { socket } = await startAttachable(t);
  const client = new AttachClient(socket);
  client.raw(hello.subarray(0, 5));
  t.equal((await client.ended()).at(-1)?.get('code'), 'UPLOAD_TIMEOUT');
  client.close();
});
