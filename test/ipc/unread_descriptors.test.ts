import { closeSync, openSync } from 'node:fs';
import t, { type Test } from 'tap';
import { UnreadDescriptors, unreadLimitsOf } from '../../src/ipc/unread_descriptors.js';
import { newDescriptors, openDescriptors } from '../support/open_descriptors.js';
import { socketPair } from '../support/socket_pair.js';

/** Sends 10 descriptors to a process. Returns the peer's end. */
function sender(t: Test, unread: UnreadDescriptors) {
  const file = openSync('/dev/null', 'r');
  t.teardown(() => closeSync(file));
  const frame = Buffer.from('x');
  return async (recipient: { uid: number }) => {
    const { ours, peers, close } = socketPair();
    const send = async () => ({ frame, sentBytes: ours.send(frame, Array<number>(10).fill(file)) });
    await unread.send(recipient, 10, ours, send).catch((error: unknown) => {
      close();
      throw error;
    });
    return { ours, peers, close };
  };
}

t.test(
  'unread descriptors are limited per process, per user and in total, also if the connection has closed',
  async (t) => {
    const before = openDescriptors();
    const unread = new UnreadDescriptors({ all: 40, user: 30, process: 20 });
    const send = sender(t, unread);
    const [a, b, c] = [{ uid: 1 }, { uid: 1 }, { uid: 2 }];
    const refused = (recipient: { uid: number }) =>
      t.rejects(send(recipient), { code: 'RATE_LIMITED', retryAfterMs: 1000 });
    const sent = [await send(a), await send(a)];
    await refused(a);
    sent.push(await send(b));
    await refused(b);
    sent.push(await send(c));
    await refused(c);
    t.equal(unread.count, 40);

    sent[0]?.ours.close();
    await refused(a);
    t.equal(sent[0]?.peers.receive(100, 64)?.descriptors.length, 10, 'a closed connection still delivers');
    t.throws(() => sent[0]?.peers.receive(100, 64), { name: 'VramError' }, 'and has ended');
    sent.push(await send(a));
    await refused(a);
    sent[1]?.peers.close();
    sent.push(await send(a));
    for (const { close } of sent) close();
    unread.sweep();
    t.equal(unread.count, 0);
    t.ok(newDescriptors(before).length <= 11, 'those that were received, and the file');
  },
);

t.test('a transfer that sent nothing, or failed, does not count', async (t) => {
  const unread = new UnreadDescriptors({ all: 20, user: 20, process: 20 });
  const { ours, peers } = socketPair();
  const recipient = { uid: 1 };
  await unread.send(recipient, 20, ours, async () => ({ frame: Buffer.from('x'), sentBytes: 0 }));
  await t.rejects(
    unread.send(recipient, 20, ours, () => Promise.reject(new Error('failed'))),
    { message: 'failed' },
  );
  t.equal(unread.count, 0);
  ours.close();
  t.throws(() => peers.receive(1, 0), { name: 'VramError' });
  peers.close();
});

t.test('the limits follow the number of files that the process may open', async (t) => {
  t.same(unreadLimitsOf(1024), { all: 256, user: 128, process: 64 });
  t.same(unreadLimitsOf(Number.POSITIVE_INFINITY), { all: 4096, user: 2048, process: 512 });
  t.same(unreadLimitsOf(64), { all: 256, user: 128, process: 64 }, 'one message always fits');
});
