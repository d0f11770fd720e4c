import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { nextSlice } from '../../../src/residency/state/time_slices.js';
import { countTurns } from '../../support/turns.js';

t.test('tasks run in order, and short ones share a turn of the event loop', async (t) => {
  t.intercept(performance, 'now', { value: () => 1000, configurable: true });
  const turns = countTurns(t);
  const order: string[] = [];
  const task = async (name: string) => {
    for (let slice = 1; slice <= 3; slice++) {
      t.equal(await nextSlice(), 1004);
      order.push(`${name}${slice}`);
    }
  };
  await Promise.all(['a', 'b', 'c'].map(task));
  t.same(order, ['a1', 'b1', 'c1', 'a2', 'b2', 'c2', 'a3', 'b3', 'c3']);
  t.ok(turns() <= 2, `${turns()} turns`);
});

t.test('a task that uses its slice ends the turn', async (t) => {
  let nowMs = 0;
  await nextTurn();
  t.intercept(performance, 'now', { value: () => nowMs, configurable: true });
  const turns = countTurns(t);
  const task = async () => {
    for (let slice = 1; slice <= 10; slice++) nowMs = await nextSlice();
  };
  await Promise.all([task(), task()]);
  t.ok(turns() >= 19, `${turns()} turns`);
});
