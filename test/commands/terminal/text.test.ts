import fc from 'fast-check';
import t from 'tap';
import { safeJson, safeText } from '../../../src/commands/terminal/safe_text.js';
import { type Column, tableLines } from '../../../src/commands/terminal/table.js';
import { fit, padded, widthOf } from '../../../src/commands/terminal/text_width.js';
import { agoText, bytesText, durationText, rateText } from '../../../src/commands/terminal/units.js';

const anyText = fc.string({ unit: 'binary' });

t.test('control, bidirectional and zero-width characters never reach the terminal', async (t) => {
  t.equal(
    safeText('a\u001b[2Jb\u202e\u200b\u009b31m\r\n\ud800é模'),
    'a\\u{1b}[2Jb\\u{202e}\\u{200b}\\u{9b}31m\\u{d}\\u{a}\\u{d800}é模',
  );
  fc.assert(fc.property(anyText, (text) => !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(safeText(text))));
});

t.test('JSON escapes the same characters, and keeps the value', async (t) => {
  fc.assert(
    fc.property(fc.dictionary(anyText, anyText), (value) => {
      const json = safeJson(value);
      t.notOk(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(json));
      t.same(JSON.parse(json), value);
    }),
    { numRuns: 50 },
  );
});

t.test('text is cut to any width, with both ends', async (t) => {
  t.equal(fit('model-00001-of-00010.gguf', 16), 'model-0..10.gguf');
  t.equal(fit('模型模型模型', 8), '模..模型');
  t.equal(widthOf('模é🐪e\u0301'), 2 + 1 + 2 + 1);
  fc.assert(
    fc.property(anyText.map(safeText), fc.nat(40), (text, columns) => {
      t.ok(widthOf(fit(text, columns)) <= columns);
      t.equal(widthOf(padded(text, columns)), columns);
    }),
    { numRuns: 100 },
  );
});

t.test('bytes, rates and times are short', async (t) => {
  const gibibyte = 1024 ** 3;
  const bytes = [0, 1, 999, 1000, 1023, 1024 * 1023.7, 1.205 * gibibyte, 16 * gibibyte, 999.6 * 1024, 2 ** 53];
  t.strictSame(bytes.map(bytesText), [
    '0 B',
    '1 B',
    '999 B',
    '0.98 KiB',
    '1.00 KiB',
    '1.00 MiB',
    '1.21 GiB',
    '16.0 GiB',
    '0.98 MiB',
    '8.00 PiB',
  ]);
  t.equal(rateText(88.14 * 1024 ** 2), '88.1 MiB/s');
  t.strictSame([0, 0.2, 59, 60, 125, 3600, 90_000, -1].map(durationText), [
    ...['0s', '1s', '59s', '1m 00s', '2m 05s', '1h 00m', '1d 01h', '0s'],
  ]);
  const now = Date.parse('2026-01-02T00:00:00Z');
  const ago = ['2026-01-02T00:00:01Z', '2026-01-01T23:59:30Z', '2026-01-01T23:55:00Z', '2026-01-01T20:00:00Z', 'x'];
  t.strictSame(
    ago.map((instant) => agoText(instant, now)),
    ['0s ago', '30s ago', '5m ago', '4h ago', 'never'],
  );
});

const columns: readonly Column[] = [
  { heading: 'NAME', minColumns: 6 },
  { heading: 'SIZE', alignRight: true },
];

t.test('a table fits the terminal, down to the least widths of its columns', async (t) => {
  const rows = [
    ['model-00001-of-00010', '1 B'],
    ['b', '10 B'],
  ];
  t.strictSame(tableLines(columns, rows), [
    ...['NAME                  SIZE', 'model-00001-of-00010   1 B', 'b                     10 B'],
  ]);
  t.strictSame(tableLines(columns, rows, 16), ['NAME        SIZE', 'mode..0010   1 B', 'b           10 B']);
  t.strictSame(tableLines(columns, rows, 3), ['NAME    SIZE', 'mo..10   1 B', 'b       10 B']);
  t.strictSame(tableLines(columns, []), ['NAME  SIZE']);
});
