import fc from 'fast-check';
import t from 'tap';
import { SortedList } from '../../../src/residency/state/sorted_list.js';

interface Item {
  readonly key: number;
}

const compare = (a: Item, b: Item): number => a.key - b.key;

/** The same list as one array. */
class Model {
  readonly items: Item[] = [];

  add(item: Item): void {
    this.items.splice(this.#indexOf(item), 0, item);
  }

  delete(item: Item): Item | undefined {
    const index = this.#indexOf(item);
    return this.items[index]?.key === item.key ? this.items.splice(index, 1)[0] : undefined;
  }

  #indexOf(item: Item): number {
    const index = this.items.findIndex(({ key }) => key >= item.key);
    return index === -1 ? this.items.length : index;
  }
}

function check(list: SortedList<Item>, { items }: Model, place: number): void {
  const isBefore = ({ key }: Item): boolean => key < place;
  const after = items.filter(({ key }) => key >= place);
  if (list.size !== items.length || list.first !== items[0]) throw new Error('size or first');
  if (list.countBefore(isBefore) !== items.length - after.length) throw new Error('count');
  const found = [...list.runs(isBefore)].flat();
  if (found.length !== after.length || found.some((item, index) => item !== after[index])) throw new Error('values');
}

/** Runs of changes, which begin at drawn keys, so that chunks grow, divide and disappear. */
const runs = fc.array(
  fc.record({
    isAdding: fc.boolean(),
    key: fc.nat(3000),
    step: fc.constantFrom(-1, 0, 1, 7),
    count: fc.nat(700),
  }),
  { maxLength: 6 },
);

t.test('after any changes the list is that of a sorted array', async (t) => {
  fc.assert(
    fc.property(runs, fc.nat(3000), (drawn, place) => {
      const [list, model] = [new SortedList<Item>(compare), new Model()];
      for (const { isAdding, key, step, count } of drawn) {
        for (let index = 0; index < count; index++) {
          const item = { key: key + index * step };
          if (!isAdding) {
            if (list.delete(item) !== model.delete(item)) throw new Error('deleted');
            continue;
          }
          list.add(item);
          model.add(item);
        }
        check(list, model, place);
        check(list, model, key);
      }
      for (const item of [...model.items]) list.delete(item);
      return list.size === 0 && list.first === undefined && [...list.runs()].length === 0;
    }),
    { numRuns: 15 },
  );
  t.pass('all histories');
});
