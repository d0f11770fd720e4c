import t from 'tap';
import { HeaderReader } from '../../../src/sources/formats/header_reader.js';
import { NameBudget, NameSet } from '../../../src/sources/formats/names.js';
import { parseSafetensors } from '../../../src/sources/formats/safetensors/header.js';
import { f32File } from '../../support/safetensors.js';

function faultOf(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}

t.test('a budget bounds the number and the length of the names of several sets', async (t) => {
  const few = new NameBudget(2, 100);
  new NameSet(few).add('a', 0);
  const second = new NameSet(few);
  t.equal(second.add('a', 0), true);
  t.equal(second.add('a', 0), false, 'a name that is there takes nothing');
  t.match(
    faultOf(() => second.add('b', 7)),
    { rule: 'too_many_names', at: 7 },
  );
  t.match(
    faultOf(() => new NameSet(new NameBudget(9, 3)).add('four', 0)),
    { rule: 'too_many_names' },
  );
});

t.test('the fields of a safetensors tensor take nothing from the budget', async (t) => {
  const bytes = f32File('a', 'b');
  const parse = (names: number) => {
    const budget = new NameBudget(names);
    return parseSafetensors(new HeaderReader({ bytes, fileBytes: bytes.length, limitBytes: bytes.length, budget }));
  };
  t.equal(parse(2).tensorNames.size, 2);
  t.match(
    faultOf(() => parse(1)),
    { rule: 'too_many_names' },
  );
});

t.test('a copy of a budget is used up alone until the budget takes it over', async (t) => {
  const budget = new NameBudget(1, 100);
  for (let parse = 0; parse < 3; parse += 1) budget.copy().take('a', 0);
  const copy = budget.copy();
  copy.take('a', 0);
  budget.set(copy);
  t.match(
    faultOf(() => budget.take('b', 0)),
    { rule: 'too_many_names' },
  );
});
