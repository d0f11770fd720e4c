import t, { type Test } from 'tap';
import { Outbox } from '../../src/ipc/outbox.js';
import { socketPair } from '../support/socket_pair.js';
import { until } from '../support/until.js';

/** An outbox, and the socket of its peer. */
function open(t: Test) {
  const { ours, peers, close } = socketPair();
  t.teardown(close);
  const ignore = () => undefined;
  return { outbox: new Outbox(ours, ignore, ignore), peers };
}

t.test(
  'memory waits for a peer that does not read, without a look at the socket at each chance to write',
  async (t) => {
    const { outbox, peers } = open(t);
    outbox.send(Buffer.from('unread'));
    const frame = Buffer.from('memory');
    const handedOver = outbox.handOver(async (socket) => ({ frame, sentBytes: socket.send(frame) }));
    // The socket always has room for a short frame. A wait for room would end at once, again and again.
    for (let turn = 0; turn < 10; turn++) {
      t.equal(outbox.wantsRoom, false);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    t.equal(peers.receive(100, 0)?.bytes.toString(), 'unread');
    await handedOver;
    t.equal(peers.receive(100, 0)?.bytes.toString(), 'memory');
  },
);

t.test('memory that the socket does not take waits for room', async (t) => {
  const { outbox, peers } = open(t);
  const frame = Buffer.from('memory');
  let attempts = 0;
  const handedOver = outbox.handOver(async (socket) => {
    attempts++;
    return { frame, sentBytes: attempts === 1 ? 0 : socket.send(frame) };
  });
  await until(() => outbox.wantsRoom);
  t.equal(attempts, 1, 'it is not tried again before that');
  outbox.flush();
  await handedOver;
  t.equal(peers.receive(100, 0)?.bytes.toString(), 'memory');
  t.equal(outbox.wantsRoom, false);
});
