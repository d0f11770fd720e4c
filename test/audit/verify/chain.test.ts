import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { forge, sha256 } from '../../support/audit.js';
import { logOf, textOf, verify } from '../../support/audit_verify.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';

const picks = fc.record({ at: fc.nat(), other: fc.nat() });

/**
 * Damages a log of 300 entries at random places. `damage` returns the number of the first invalid entry, or undefined
 * if the places do not apply.
 */
async function alwaysFound(
  t: Test,
  damage: (lines: string[], at: number, other: number) => number | undefined,
): Promise<void> {
  const whole = await logOf(t, 300);
  const path = join(temporaryDirectory(t), 'copy.log');
  fc.assert(
    fc.property(picks, ({ at, other }) => {
      const lines = [...whole];
      const seq = damage(lines, at % whole.length, other % whole.length);
      if (seq === undefined) return;
      const verdict = verify(path, textOf(lines));
      if (verdict.kind !== 'tampered' || verdict.seq !== seq) throw new Error(`${seq}: ${JSON.stringify(verdict)}`);
    }),
    { numRuns: 200 },
  );
}

t.test('a missing line is found, unless it was the last', async (t) => {
  await alwaysFound(t, (lines, at) => {
    if (at === lines.length - 1) return undefined;
    lines.splice(at, 1);
    return at + 1;
  });
});

t.test('a missing run of lines is found', async (t) => {
  await alwaysFound(t, (lines, at, other) => {
    const [from, to] = [Math.min(at, other), Math.max(at, other)];
    if (to === lines.length - 1) return undefined;
    lines.splice(from, to - from + 1);
    return from + 1;
  });
});

t.test('a repeated line is found at its second place', async (t) => {
  await alwaysFound(t, (lines, at, other) => {
    const [from, to] = [Math.min(at, other), Math.max(at, other)];
    lines.splice(to + 1, 0, lines[from] ?? '');
    return to + 2;
  });
});

t.test('a copy of a later line is found at its earlier place', async (t) => {
  await alwaysFound(t, (lines, at, other) => {
    const [from, to] = [Math.min(at, other), Math.max(at, other)];
    if (from === to) return undefined;
    lines.splice(from, 0, lines[to] ?? '');
    return from + 1;
  });
});

t.test('inserted lines with valid hashes are found at the first of them', async (t) => {
  await alwaysFound(t, (lines, at, other) => {
    const count = (other % 4) + 1;
    if (at === lines.length - 1) return undefined;
    const forged: string[] = lines.slice(0, at + 1);
    for (let index = 0; index < count; index++) {
      if ((forged.length + 1) % 256 === 0) return undefined;
      const previous = sha256(forged.at(-1) ?? '');
      forged.push(forge(lines[1] ?? '', { seq: forged.length + 1, previous, shard_id: `forged-${index}` }));
    }
    lines.splice(0, at + 1, ...forged);
    return at + 2;
  });
});

t.test('more than 255 inserted lines, with checkpoints, are found at their end', async (t) => {
  const lines = await logOf(t, 5);
  const path = join(temporaryDirectory(t), 'copy.log');
  const insert = (count: number) => {
    const forged = lines.slice(0, 2);
    while (forged.length < 2 + count) {
      const previous = sha256(forged.at(-1) ?? '');
      const seq = forged.length + 1;
      const claims = { iss: 'worker-1', reason: 'interval', sequence: seq - 1, hash: previous };
      const checkpoint = `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;
      const change = seq % 256 === 0 ? { event: 'AuditCheckpoint', checkpoint } : { shard_id: 'forged' };
      forged.push(forge(lines[1] ?? '', { seq, previous, ...change }));
    }
    return verify(path, textOf([...forged, ...lines.slice(2)]));
  };
  t.match(insert(1), { kind: 'tampered', seq: 3, line: 4 });
  t.match(insert(255), { kind: 'tampered', seq: 3, line: 258 });
  t.match(insert(256), { kind: 'tampered', seq: 259, line: 259 });
});

t.test('two swapped lines are found at the first of them', async (t) => {
  await alwaysFound(t, (lines, at, other) => {
    const [from, to] = [Math.min(at, other), Math.max(at, other)];
    if (from === to) return undefined;
    [lines[from], lines[to]] = [lines[to] ?? '', lines[from] ?? ''];
    return from + 1;
  });
});

t.test('a changed line with a valid checksum is found by the next line', async (t) => {
  await alwaysFound(t, (lines, at) => {
    if (at === lines.length - 1) return undefined;
    if (lines[at]?.includes('"AuditCheckpoint"')) return undefined;
    lines[at] = forge(lines[at] ?? '', { actor: 'another' });
    return at + 1;
  });
});

t.test('a line with a wrong previous hash is found if the next line follows it', async (t) => {
  await alwaysFound(t, (lines, at) => {
    if (at >= lines.length - 2 || (at + 1) % 256 === 0 || (at + 2) % 256 === 0) return undefined;
    lines[at] = forge(lines[at] ?? '', { previous: 'f'.repeat(64) });
    lines[at + 1] = forge(lines[at + 1] ?? '', { previous: sha256(lines[at] ?? '') });
    return at === 0 ? 1 : at;
  });
});

t.test('a line with a valid checksum and an invalid field is not an entry', async (t) => {
  const lines = (await logOf(t, 5)).slice(0, -1);
  const path = join(temporaryDirectory(t), 'copy.log');
  for (const change of [{ seq: '5' }, { seq: 5.5 }, { previous: 7 }, { event: 7 }, { event: undefined }]) {
    const last = forge(lines.at(-1) ?? '', change);
    t.match(verify(path, textOf(lines.with(-1, last))), { kind: 'tampered', seq: 5 }, JSON.stringify(change));
  }
});

t.test('the line after two that disagree decides which of them is invalid', async (t) => {
  const lines = await logOf(t, 5);
  const path = join(temporaryDirectory(t), 'copy.log');
  const unlinked = (line: string) => forge(line, { previous: 'f'.repeat(64) });
  const [first = '', second = '', third = ''] = lines;
  t.match(verify(path, textOf([unlinked(first), ...lines.slice(1)])), { kind: 'tampered', seq: 1 });
  t.match(verify(path, textOf([unlinked(first)])), { kind: 'tampered', seq: 1 });
  t.match(
    verify(path, textOf(lines.toSpliced(2, 0, unlinked(third)))),
    { kind: 'tampered', seq: 3 },
    'one line was inserted',
  );
  const other = forge(second, { shard_id: 'another' });
  t.match(verify(path, textOf(lines.with(1, other))), { kind: 'tampered', seq: 2 }, 'one line was changed');
  t.match(verify(path, textOf([first, other, third])), { kind: 'tampered', seq: 2 }, 'without a later line');
  for (const at of [0, 1, 2]) {
    const twin = forge(lines[at] ?? '', { shard_id: 'another' });
    const twice = verify(path, textOf(lines.toSpliced(at + 1, 0, twin)));
    t.match(twice, { kind: 'tampered', seq: at + 1, line: at + 2, detail: /appears twice/ });
  }
});
