import { Socket } from 'node:net';
import t from 'tap';
import { AcceptQueue } from '../../../src/http/server/accept_queue.js';
import { until } from '../../support/until.js';

const socketOf = (remoteAddress: string): Socket =>
  Object.defineProperty(new Socket(), 'remoteAddress', { value: remoteAddress });

t.test('networks take turns, and each one keeps its order', async (t) => {
  const served: Socket[] = [];
  const queue = new AcceptQueue((socket) => served.push(socket));
  const flood = Array.from({ length: 50 }, (_, n) => socketOf(`2001:db8::${n}`));
  const probe = socketOf('192.0.2.1');
  for (const socket of [...flood, probe]) queue.add(socket);
  await until(() => served.length === 51);
  t.ok(served.indexOf(probe) <= 1, 'a network with one connection does not wait for the others');
  t.same(
    served.filter((socket) => socket !== probe),
    flood,
  );
});

t.test('connections are accepted before one is served, up to a limit', async (t) => {
  const served: Socket[] = [];
  const queue = new AcceptQueue((socket) => served.push(socket));
  let added = 0;
  let duringBurst = 0;
  // One in each turn of the event loop, as libuv accepts them.
  const add = () => {
    queue.add(socketOf('192.0.2.1'));
    added += 1;
    if (added < 90) setImmediate(add);
    else duringBurst = served.length;
  };
  add();
  await until(() => added === 90);
  t.ok(duringBurst >= 5 && duringBurst <= 20, `${duringBurst} of 90`);
  await until(() => served.length === 90);
  t.pass('all are served when no more arrive');
});

t.test('a connection that closes while it waits is not served', async (t) => {
  const served: Socket[] = [];
  const queue = new AcceptQueue((socket) => served.push(socket));
  const [left, destroyed, stays] = [socketOf('192.0.2.1'), socketOf('192.0.2.1'), socketOf('192.0.2.1')];
  for (const socket of [left, destroyed, stays]) queue.add(socket);
  left.emit('close');
  destroyed.removeAllListeners('close');
  destroyed.destroy();
  await until(() => served.length > 0);
  t.same(served, [stays]);
});
