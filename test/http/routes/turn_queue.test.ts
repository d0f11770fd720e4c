import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { TurnQueue } from '../../../src/http/routes/turn_queue.js';
import { countTurns } from '../../support/turns.js';

const jobs = 1000;

t.test('a thousand jobs run in order, at most eight in each turn of the event loop if they take time', async (t) => {
  await nextTurn();
  let nowMs = 0;
  t.intercept(performance, 'now', { value: () => nowMs, configurable: true });
  const turns = countTurns(t);
  const queue = new TurnQueue();
  const order: number[] = [];
  const perTurn = new Map<number, number>();
  const job = async (index: number) => {
    await queue.turn();
    // What follows a job also takes time, as the writing of a response does.
    await Promise.resolve();
    nowMs += 1;
    order.push(index);
    perTurn.set(turns(), (perTurn.get(turns()) ?? 0) + 1);
  };
  await Promise.all(Array.from({ length: jobs }, (_, index) => job(index)));
  t.same(order, [...order.keys()]);
  t.equal(Math.max(...perTurn.values()), 8);
  t.equal(perTurn.size, jobs / 8);
});

t.test('two queues that are full take turns', async (t) => {
  await nextTurn();
  let nowMs = 0;
  t.intercept(performance, 'now', { value: () => nowMs, configurable: true });
  const order: string[] = [];
  const run = (name: string) => {
    const queue = new TurnQueue();
    return Array.from({ length: 32 }, async () => {
      await queue.turn();
      nowMs += 1;
      order.push(name);
    });
  };
  await Promise.all([...run('a'), ...run('b')]);
  const expected = ['a', 'b', 'a', 'b', 'a', 'b', 'a', 'b'].flatMap((name) => Array<string>(8).fill(name));
  t.same(order, expected);
});

t.test('jobs that take no time share a turn, and a later one runs too', async (t) => {
  await nextTurn();
  t.intercept(performance, 'now', { value: () => 0, configurable: true });
  const turns = countTurns(t);
  const queue = new TurnQueue();
  await Promise.all(Array.from({ length: 100 }, () => queue.turn()));
  t.ok(turns() <= 2, `${turns()} turns`);
  await queue.turn();
  t.pass('after the queue was empty');
});
