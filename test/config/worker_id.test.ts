import t from 'tap';
import { workerIdFor, workerIdPattern } from '../../src/config/worker_id.js';

t.test('the default worker id is the host name if that is a valid id', async (t) => {
  for (const name of ['gpu-7', 'GPU_7.example.com', 'x'.repeat(128)]) t.equal(workerIdFor(name), name);
});

t.test('any other host name gives a valid id of its own, the same at each start', async (t) => {
  t.equal(workerIdFor('b\u00fcro-pc'), 'b-ro-pc-a541b627');
  const names = [
    'b\u00fcro',
    'b\u00f6ro',
    'b\u{1f600}ro',
    '',
    ' ',
    '-',
    'a b',
    'a/b',
    'x'.repeat(129),
    '\u00e4'.repeat(200),
    '\n',
  ];
  const ids = names.map(workerIdFor);
  for (const [index, id] of ids.entries()) t.match(id, workerIdPattern, names[index] ?? '');
  t.equal(new Set(ids).size, names.length);
  t.same(names.map(workerIdFor), ids);
});
