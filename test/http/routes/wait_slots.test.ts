import { EventEmitter, once } from 'node:events';
import { PassThrough } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import t from 'tap';
import { WaitSlots } from '../../../src/http/routes/wait_slots.js';

type Request = Parameters<WaitSlots['take']>[0];

const requestOf = (ip: string, role: Request['role'] = 'reader'): Request => ({ ip, role });

const takeAll = (slots: WaitSlots, ip: string, count: number, role?: Request['role']) =>
  Array.from({ length: count }, () => slots.take(requestOf(ip, role)));

t.test('each role has its own places', async (t) => {
  const slots = new WaitSlots(3);
  const taken = takeAll(slots, '10.0.0.1', 3);
  t.throws(() => slots.take(requestOf('10.0.0.1')), { code: 'RATE_LIMITED', retryAfterMs: 5000 });
  takeAll(slots, '10.0.0.1', 3, 'operator');
  t.equal(slots.count, 6);
  taken[1]?.release();
  taken[1]?.release();
  t.equal(slots.count, 5);
  slots.take(requestOf('10.0.0.1'));
  t.throws(() => slots.take(requestOf('10.0.0.1')), { code: 'RATE_LIMITED' });
});

t.test('the network with most waits gives places up, its longest wait first, until both have as many', async (t) => {
  const slots = new WaitSlots(4);
  const greedy = takeAll(slots, '10.0.0.1', 4);
  takeAll(slots, '10.0.0.2', 2);
  t.same(
    greedy.map(({ signal }) => signal.aborted),
    [true, true, false, false],
  );
  t.throws(() => slots.take(requestOf('10.0.0.2')), { code: 'RATE_LIMITED' });
  t.throws(() => slots.take(requestOf('10.0.0.1')), { code: 'RATE_LIMITED' });
  takeAll(slots, '10.0.0.3', 1);
  t.equal(greedy.filter(({ signal }) => signal.aborted).length, 3);
  t.equal(slots.count, 4);
  for (const { release } of greedy) release();
  t.equal(slots.count, 3);
});

/** A request, and the part of a reply that a wait uses. */
function exchange() {
  const request = { ...requestOf('10.0.0.1'), waitedMs: 0 } as FastifyRequest;
  const raw = Object.assign(new EventEmitter(), {
    destroyed: false,
    writableFinished: false,
    req: { socket: new PassThrough() },
  });
  return { request, raw, reply: { raw } as never as FastifyReply };
}

t.test('a wait gives its place back however it ends, and is not counted as time of the request', async (t) => {
  const slots = new WaitSlots(1);
  for (const isFailing of [false, true]) {
    const { request, reply } = exchange();
    const wait = slots.hold(request, reply, 7, async ({ maxMs }) => {
      t.equal(slots.count, 1);
      t.equal(maxMs, 7000);
      await setTimeout(20);
      if (isFailing) throw new Error('no response');
    });
    await (isFailing ? t.rejects(wait, { message: 'no response' }) : wait);
    t.equal(slots.count, 0);
    // A timer can fire a millisecond early.
    t.ok(request.waitedMs >= 19, 'the latency metrics subtract it');
  }
});

t.test('a wait ends when its client leaves, and rejects', async (t) => {
  const slots = new WaitSlots(1);
  const { request, raw, reply } = exchange();
  const wait = slots.hold(request, reply, 7, ({ signal }) => once(signal, 'abort'));
  raw.destroyed = true;
  raw.emit('close');
  await t.rejects(wait, { code: 'LENGTH_MISMATCH' });
  t.equal(slots.count, 0);
});

t.test('waits that end together return in order', async (t) => {
  const count = 100;
  const slots = new WaitSlots(count);
  let change = (): void => undefined;
  const changed = new Promise<void>((resolve) => {
    change = resolve;
  });
  const returned: number[] = [];
  const waits = Array.from({ length: count }, async (_, index) => {
    const { request, reply } = exchange();
    await slots.hold(request, reply, 7, () => changed);
    returned.push(index);
  });
  t.equal(slots.count, count);
  change();
  await Promise.all(waits);
  t.same(returned, [...waits.keys()]);
  t.equal(slots.count, 0);
});
