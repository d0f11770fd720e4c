import t from 'tap';
import { type Holder, MemoryBudget } from '../../../src/http/server/memory_budget.js';

/** A budget of 100 bytes, and the names of the evicted holders. */
function startBudget() {
  const budget = new MemoryBudget(100);
  const evicted: string[] = [];
  const hold = (owner: string, bytes: number, more: Partial<Holder> = {}, name = `${owner}${bytes}`) =>
    budget.hold({ owner, bytes, evict: () => evicted.push(name), ...more });
  return { budget, evicted, hold };
}

t.test('bytes count until they are released', async (t) => {
  const { budget, hold } = startBudget();
  const release = hold('a', 60);
  t.equal(budget.heldBytes, 60);
  t.equal(hold('a', 50), undefined, 'the owner of most bytes is refused');
  release?.();
  release?.();
  t.equal(budget.heldBytes, 0);
  t.ok(hold('a', 50));
});

t.test('another owner gets room by evicting the oldest bytes of the largest owner', async (t) => {
  const { budget, evicted, hold } = startBudget();
  hold('big', 40);
  hold('big', 41);
  hold('small', 10);
  t.ok(hold('new', 30));
  t.same(evicted, ['big40']);
  t.equal(budget.heldBytes, 81);
  t.equal(hold('new', 60), undefined, 'it would hold most itself');
  t.ok(hold('newest', 40));
  t.same(evicted, ['big40', 'big41']);
});

t.test('holders of one buffer count once, until the last one releases it', async (t) => {
  const { budget, evicted, hold } = startBudget();
  const buffer = Buffer.alloc(80);
  const releases = ['a', 'b', 'c'].map((owner) => hold(owner, 80, { buffer }, owner));
  t.equal(budget.heldBytes, 80);
  releases[0]?.();
  t.equal(budget.heldBytes, 80);
  t.ok(hold('d', 30));
  t.same(evicted, ['b', 'c']);
  t.equal(budget.heldBytes, 30);
  for (const release of releases) release?.();
  t.equal(budget.heldBytes, 30);
});

t.test('one block may exceed the limit while nothing else is held', async (t) => {
  const { budget, hold } = startBudget();
  t.ok(hold('a', 500));
  t.equal(budget.heldBytes, 500);
  t.equal(hold('a', 1), undefined);
});
