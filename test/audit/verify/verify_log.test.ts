import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { verifyLog } from '../../../src/audit/verify/verify_log.js';
import { sha256 } from '../../support/audit.js';
import { logOf, textOf, verify } from '../../support/audit_verify.js';
import { newDescriptors, openDescriptors } from '../../support/open_descriptors.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';

t.test('an intact log is whole, with and without keys and kept checkpoints', async (t) => {
  for (const entries of [1, 2, 254, 255, 256, 257, 600]) {
    const lines = await logOf(t, entries);
    const path = join(temporaryDirectory(t), 'copy.log');
    const checkpoints = lines.filter((line) => line.includes('"AuditCheckpoint"'));
    t.equal(checkpoints.length, Math.floor((lines.length - 1) / 256) + 1, `${entries} entries`);
    const verdict = { kind: 'whole', firstSeq: 1, lastSeq: lines.length, checkpoints: checkpoints.length };
    t.same(verify(path, textOf(lines)), verdict);
    t.same(verify(path, textOf(lines), { kept: checkpoints, signed: true }), verdict);
  }
  const empty = join(temporaryDirectory(t), 'empty.log');
  t.same(verify(empty, ''), { kind: 'empty', firstSeq: 0, lastSeq: 0, checkpoints: 0 });
});

t.test('a flipped bit is found at its entry', async (t) => {
  const lines = await logOf(t, 300);
  const text = Buffer.from(textOf(lines));
  const path = join(temporaryDirectory(t), 'copy.log');
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.nat(7), (at, bit) => {
      const damaged = Buffer.from(text);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << bit);
      const line = text.subarray(0, at).toString('latin1').split('\n').length;
      const verdict = verify(path, damaged);
      return verdict.kind === 'tampered' && verdict.seq === line && verdict.line === line;
    }),
    { numRuns: 500 },
  );
});

t.test('every byte of the first and the last line is verified', async (t) => {
  const lines = await logOf(t, 2);
  const text = Buffer.from(textOf(lines));
  const last = text.lastIndexOf('\n', text.length - 2) + 1;
  const first = text.indexOf('\n') + 1;
  const path = join(temporaryDirectory(t), 'copy.log');
  let found = 0;
  for (let at = 0; at < text.length; at++) {
    if (at >= first && at < last) continue;
    const damaged = Buffer.from(text);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
    const verdict = verify(path, damaged);
    if (verdict.kind === 'tampered' && verdict.seq === (at < first ? 1 : lines.length)) found++;
  }
  t.equal(found, first + text.length - last);
});

t.test('a log that was cut inside a line is torn, and valid up to that line', async (t) => {
  const lines = await logOf(t, 3);
  const text = textOf(lines);
  const path = join(temporaryDirectory(t), 'copy.log');
  for (let length = 0; length <= text.length; length++) {
    const whole = text.slice(0, length).split('\n').length - 1;
    const ended = length === 0 || text[length - 1] === '\n';
    const lastSeq = text[length] === '\n' ? whole + 1 : whole;
    const verdict = verify(path, text.slice(0, length));
    const kind = length === 0 ? 'empty' : ended ? 'whole' : 'torn';
    if (verdict.kind === kind && verdict.lastSeq === lastSeq) continue;
    t.fail(`cut to ${length}: ${JSON.stringify(verdict)}`);
  }
  t.match(verify(path, `${text}${'x'.repeat(200_000)}`), { kind: 'torn', lastSeq: lines.length });
  t.match(verify(path, `${text}\n`), { kind: 'tampered', seq: lines.length + 1 });
  t.match(verify(path, `${'x'.repeat(3_000_000)}\n${text}`), { kind: 'tampered', seq: 1 });
});

t.test('a file without entries is tampered from its first line', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  for (const text of ['x\n', 'x\nx\n', '\n']) t.match(verify(path, text), { kind: 'tampered', seq: 1, line: 1 });
  const lines = await logOf(t, 2);
  const body = '{"seq":3,';
  const noJson = `${body},"checksum":"${sha256(body)}"}`;
  t.match(verify(path, textOf([...lines.slice(0, 2), noJson])), { kind: 'tampered', seq: 3, line: 3 });
});

t.test('verification leaves no descriptor open', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const before = openDescriptors();
  for (const text of ['', 'x\n', textOf(await logOf(t, 2))]) verify(path, text);
  t.same(newDescriptors(before), []);
});

t.test('only the last file may be torn', async (t) => {
  const lines = (await logOf(t, 5)).slice(0, -1);
  const path = join(temporaryDirectory(t), 'copy.log');
  const second = `${path}.2`;
  writeFileSync(path, textOf(lines.slice(0, 3)).slice(0, -1));
  writeFileSync(second, textOf(lines.slice(3)));
  t.match(verifyLog([path, second], { kept: new Map() }), { kind: 'tampered', seq: 3, file: path, line: 3 });
});
