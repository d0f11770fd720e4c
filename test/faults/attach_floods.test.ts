import { randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { encodeFrame, maxFrameBytes } from '../../src/ipc/frame.js';
import { AttachClient, framed } from '../support/attach_client.js';
import { startAttachable } from '../support/attachable.js';
import { newDescriptors, openDescriptors } from '../support/open_descriptors.js';
import { get, upload } from '../support/requests.js';
import { until } from '../support/until.js';

const hello = encodeFrame('hello', { version: 1, client: 'test' });

t.test('a client that does not read delays no other one, and gets no more memory', async (t) => {
  const { worker, socket } = await startAttachable(t);
  await upload(worker, 'a', randomBytes(5000));
  const silent = await AttachClient.open(socket);
  for (let id = 1; id <= 3; id++) silent.send('attach', { id, shard_id: 'a' });
  await until(async () => (await get(worker, '/v1/leases')).json().leases.length > 0);
  for (let count = 0; count < 20; count++) {
    const client = await AttachClient.open(socket);
    t.equal((await client.ask('attach', { shard_id: 'a' })).type, 'attached');
    client.close();
  }
  // The session ends when the client has not read the first memory for 5 seconds.
  await until(async () => (await get(worker, '/v1/leases')).json().leases.every(isLingering), 'the session stays');
  t.equal((await silent.ended()).filter(({ type }) => type === 'attached').length, 1);
  t.equal(silent.descriptors.length, 1, 'one message of descriptors waits at a time');
  silent.close();
});

t.test('connections that close with unread memory count until it is read', async (t) => {
  const { worker, socket } = await startAttachable(t);
  await upload(worker, 'a', randomBytes(5000));
  const leases = async (): Promise<{ state: string }[]> => (await get(worker, '/v1/leases')).json().leases;
  const clients: AttachClient[] = [];
  for (let count = 1; count <= 48; count++) {
    const client = await AttachClient.open(socket);
    clients.push(client);
    client.send('attach', { id: 1, shard_id: 'a' });
    await until(() => client.unreadBytes > 0, 'the memory does not arrive');
    client.send('unknown');
    await until(async () => (await leases()).filter(isLingering).length === count, 'the connection stays');
  }
  await t.rejects(AttachClient.open(socket), { message: 'refused: RATE_LIMITED' });
  for (const client of clients) client.close();
  const isServed = async () => {
    const client = await AttachClient.open(socket).catch(() => undefined);
    client?.close();
    return client !== undefined;
  };
  await until(isServed, 'the worker still counts them');
});

t.test('ten thousand requests at once, and the longest frames, delay no HTTP request', async (t) => {
  const { worker, socket } = await startAttachable(t);
  for (let index = 0; index < 20; index++) await upload(worker, `shard-${index}`, randomBytes(5000));
  const requests = Buffer.concat(Array.from({ length: 10_000 }, (_, id) => encodeFrame('list', { id, limit: 256 })));
  const longest = framed(`type=list\nid=1\nx=${'a'.repeat(maxFrameBytes - 20)}\n`);
  const flood = async (bytes: Buffer): Promise<void> => {
    const client = await AttachClient.open(socket);
    t.teardown(() => client.close());
    for (let at = 0; at < bytes.length; ) {
      const sent = client.raw(bytes.subarray(at));
      client.drain();
      at += sent;
      await sleep(sent === 0 ? 5 : 0);
      if (isOver || client.isEnded) return;
    }
  };
  let isOver = false;
  const floods = Array.from({ length: 40 }, (_, index) => flood(index % 2 === 0 ? requests : longest));
  const waits: number[] = [];
  for (let count = 0; count < 200; count++) {
    const startMs = performance.now();
    t.equal((await get(worker, '/v1/ready')).statusCode, 200);
    waits.push(performance.now() - startMs);
    await sleep(5);
  }
  isOver = true;
  await Promise.all(floods);
  waits.sort((a, b) => a - b);
  t.comment(
    `figure: ready with 40 flooding clients, p50 ${waits[100]?.toFixed(1)} ms, max ${waits[199]?.toFixed(1)} ms`,
  );
});

t.test('a frame of many lines is refused before they are parsed', async (t) => {
  const { socket } = await startAttachable(t);
  const client = await AttachClient.open(socket);
  const bytes = framed(`type=list\nid=1\n${'a=\n'.repeat(300_000)}`);
  for (let at = 0; at < bytes.length && !client.isEnded; ) {
    at += client.raw(bytes.subarray(at));
    await sleep(1);
  }
  t.match((await client.ended()).at(-1)?.get('detail'), /more than 1024 lines/);
  client.close();
});

t.test('a client that closes its writing half gets its answers', async (t) => {
  const { worker, socket } = await startAttachable(t);
  await upload(worker, 'a', randomBytes(5000));
  const client = await AttachClient.open(socket);
  for (let id = 1; id <= 3; id++) client.send('attach', { id, shard_id: 'a' });
  client.shutdownWriting();
  const answers = await client.ended();
  t.same(
    answers.map((answer) => [answer.type, answer.get('id')]),
    [1, 2, 3].map((id) => ['attached', String(id)]),
  );
  client.close();
});

t.test('a frame whose rest does not come ends the session, also if bytes trickle', async (t) => {
  const { socket } = await startAttachable(t);
  const client = await AttachClient.open(socket);
  const frame = encodeFrame('list', { id: 1, model_ref: 'm'.repeat(400) });
  let at = 0;
  const trickle = setInterval(() => {
    try {
      client.raw(frame.subarray(at, ++at));
    } catch {
      clearInterval(trickle); // the worker has closed the connection
    }
  }, 100);
  t.equal((await client.ended()).at(-1)?.get('code'), 'UPLOAD_TIMEOUT');
  clearInterval(trickle);
  client.close();
});

t.test('descriptors that clients send are closed, however many come with a frame', async (t) => {
  const { socket } = await startAttachable(t);
  const file = openSync('/dev/null', 'r');
  t.teardown(() => closeSync(file));
  const before = openDescriptors();
  for (const bytes of [hello, encodeFrame('list', { id: 1 }), hello.subarray(0, 1)]) {
    for (const count of [1, 64, 253]) {
      const client = bytes === hello || bytes.length === 1 ? new AttachClient(socket) : await AttachClient.open(socket);
      client.raw(bytes, Array<number>(count).fill(file));
      t.match((await client.ended()).at(-1)?.get('detail'), /must not send descriptors/, `${count}`);
      client.close();
    }
  }
  await until(() => newDescriptors(before).length === 0, 'the worker kept a descriptor');
});

const isLingering = ({ state }: { state: string }): boolean => state === 'lingering';
