import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { cached, encodeInSlices, Items, itself, jsonPieces } from '../../../src/residency/status/json_pieces.js';

t.test('the pieces are the JSON of the object', async (t) => {
  const numbers = Array.from({ length: 1000 }, (_, index) => ({ number: index, text: 'é"\u2028' }));
  const object = { a: 1, empty: [], numbers, last: null };
  const fields = { ...object, empty: Items.of([], String), numbers: Items.of(numbers, (item) => JSON.stringify(item)) };
  const hash = createHash('sha256');
  const bytes = await encodeInSlices(jsonPieces<typeof object>(fields), hash);
  t.equal(String(bytes), JSON.stringify(object));
  t.equal(hash.digest('hex'), createHash('sha256').update(bytes).digest('hex'));
});

t.test('other work runs while a long text is encoded', async (t) => {
  let nowMs = 0;
  await nextTurn();
  t.intercept(performance, 'now', { value: () => nowMs++, configurable: true });
  let [turns, isEnded] = [0, false];
  const count = () => {
    turns++;
    if (!isEnded) setImmediate(count);
  };
  setImmediate(count);
  const pieces = Array.from({ length: 16 * 100 }, String);
  const [one, other] = await Promise.all([encodeInSlices(pieces), encodeInSlices(pieces)]);
  isEnded = true;
  t.equal(String(one), pieces.join(''));
  t.same(one, other);
  t.ok(turns > 80, `${turns} turns`);
});

t.test('a text is cached by its key', async (t) => {
  let calls = 0;
  const toText = cached(itself, (_value: object) => `${++calls}`);
  const [a, b] = [{}, {}];
  t.same([toText(a), toText(b), toText(a)], ['1', '2', '1']);
});
