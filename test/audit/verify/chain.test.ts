import { readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { readCheckpoint, signatureFault, writeCheckpoint } from '../../../src/audit/checkpoint.js';
import { type AuditVerdict, verifyLog } from '../../../src/audit/verify/verify_log.js';
import { Signer } from '../../../src/residency/state/signer.js';
import { deriveSealKey } from '../../../src/seal/key.js';
import { forge, identity, linesOf, logAt, sealed, secret, sha256 } from '../../support/audit.js';
import { temporaryDirectory } from '../../support/process.js';

/** The lines of a whole log with so many entries, checkpoints and the last of them included. */
function logOf(t: Test, entries: number): string[] {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  log.append(Array.from({ length: entries }, (_, index) => sealed(`shard-${index}`)));
  log.checkpoint('stop');
  log.close();
  return linesOf(path);
}

interface Against {
  /** Lines with checkpoints that were kept elsewhere. */
  readonly kept?: readonly string[];
  readonly signed?: boolean;
}

function judge(path: string, text: string | Buffer, { kept = [], signed = false }: Against = {}): AuditVerdict {
  writeFileSync(path, text);
  const claims = kept.flatMap((line) => readCheckpoint(JSON.parse(line).checkpoint) ?? []);
  return verifyLog([path], {
    kept: new Map(claims.map(({ sequence, hash }) => [sequence, hash])),
    ...(signed ? { keysOf: (iss: string) => [deriveSealKey(Buffer.from(secret), iss)] } : {}),
  });
}

const textOf = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

/** Numbers all lines from one on anew and chains them: a log that nobody but its checkpoints contradicts. */
function rechain(lines: readonly string[], from: number): string[] {
  const chained = lines.slice(0, from);
  for (const line of lines.slice(from)) {
    const before = chained.at(-1);
    const previous = before === undefined ? '0'.repeat(64) : sha256(before);
    chained.push(forge(line, { seq: chained.length + 1, previous }));
  }
  return chained;
}

t.test('a whole log is whole, with and without its key and its own checkpoints', async (t) => {
  for (const entries of [1, 2, 254, 255, 256, 257, 600]) {
    const lines = logOf(t, entries);
    const path = join(temporaryDirectory(t), 'copy.log');
    const checkpoints = lines.filter((line) => line.includes('"AuditCheckpoint"'));
    t.equal(checkpoints.length, Math.floor((lines.length - 1) / 256) + 1, `${entries} entries`);
    const verdict = { kind: 'whole', firstSeq: 1, lastSeq: lines.length, checkpoints: checkpoints.length };
    t.same(judge(path, textOf(lines)), verdict);
    t.same(judge(path, textOf(lines), { kept: checkpoints, signed: true }), verdict);
  }
  const empty = join(temporaryDirectory(t), 'empty.log');
  t.same(judge(empty, ''), { kind: 'whole', firstSeq: 0, lastSeq: 0, checkpoints: 0 });
});

t.test('one bit flipped anywhere is found, at its entry', async (t) => {
  const lines = logOf(t, 300);
  const text = Buffer.from(textOf(lines));
  const path = join(temporaryDirectory(t), 'copy.log');
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.nat(7), (at, bit) => {
      const damaged = Buffer.from(text);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << bit);
      const line = text.subarray(0, at).toString('latin1').split('\n').length;
      const verdict = judge(path, damaged);
      return verdict.kind === 'tampered' && verdict.seq === line && verdict.line === line;
    }),
    { numRuns: 500 },
  );
});

t.test('every byte of the first and of the last line counts', async (t) => {
  const lines = logOf(t, 2);
  const text = Buffer.from(textOf(lines));
  const last = text.lastIndexOf('\n', text.length - 2) + 1;
  const first = text.indexOf('\n') + 1;
  const path = join(temporaryDirectory(t), 'copy.log');
  let found = 0;
  for (let at = 0; at < text.length; at++) {
    if (at >= first && at < last) continue;
    const damaged = Buffer.from(text);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
    const verdict = judge(path, damaged);
    if (verdict.kind === 'tampered' && verdict.seq === (at < first ? 1 : lines.length)) found++;
  }
  t.equal(found, first + text.length - last);
});

const picks = fc.record({ at: fc.nat(), other: fc.nat() });

/** Damages a log of 300 entries at random places, and expects the number of its first bad entry. */
function alwaysFound(
  t: Test,
  damage: (lines: string[], at: number, other: number) => number | undefined,
  numRuns = 200,
): void {
  const whole = logOf(t, 300);
  const path = join(temporaryDirectory(t), 'copy.log');
  fc.assert(
    fc.property(picks, ({ at, other }) => {
      const lines = [...whole];
      const seq = damage(lines, at % whole.length, other % whole.length);
      if (seq === undefined) return;
      const verdict = judge(path, textOf(lines));
      if (verdict.kind !== 'tampered' || verdict.seq !== seq) throw new Error(`${seq}: ${JSON.stringify(verdict)}`);
    }),
    { numRuns },
  );
}

t.test('a line that is gone is found, unless it was the last', async (t) => {
  alwaysFound(t, (lines, at) => {
    if (at === lines.length - 1) return undefined;
    lines.splice(at, 1);
    return at + 1;
  });
});

t.test('a run of lines that is gone is found', async (t) => {
  alwaysFound(t, (lines, at, other) => {
    const [from, to] = [Math.min(at, other), Math.max(at, other)];
    if (to === lines.length - 1) return undefined;
    lines.splice(from, to - from + 1);
    return from + 1;
  });
});

t.test('a line that stands twice is found at its second place', async (t) => {
  alwaysFound(t, (lines, at, other) => {
    const [from, to] = [Math.min(at, other), Math.max(at, other)];
    lines.splice(to + 1, 0, lines[from] ?? '');
    return to + 2;
  });
});

t.test('a line of a later place, put in before it, is found there', async (t) => {
  alwaysFound(t, (lines, at, other) => {
    const [from, to] = [Math.min(at, other), Math.max(at, other)];
    if (from === to) return undefined;
    lines.splice(from, 0, lines[to] ?? '');
    return from + 1;
  });
});

t.test('forged lines, well chained, put in between are found at the first of them', async (t) => {
  alwaysFound(t, (lines, at, other) => {
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

t.test('of more than 255 forged lines put in, checkpoints and all, the end is found', async (t) => {
  const lines = logOf(t, 5);
  const path = join(temporaryDirectory(t), 'copy.log');
  const putIn = (count: number) => {
    const forged = lines.slice(0, 2);
    while (forged.length < 2 + count) {
      const previous = sha256(forged.at(-1) ?? '');
      const seq = forged.length + 1;
      const claims = { iss: 'worker-1', reason: 'interval', sequence: seq - 1, hash: previous };
      const checkpoint = `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;
      const change = seq % 256 === 0 ? { event: 'AuditCheckpoint', checkpoint } : { shard_id: 'forged' };
      forged.push(forge(lines[1] ?? '', { seq, previous, ...change }));
    }
    return judge(path, textOf([...forged, ...lines.slice(2)]));
  };
  t.match(putIn(1), { kind: 'tampered', seq: 3, line: 4 });
  t.match(putIn(255), { kind: 'tampered', seq: 3, line: 258 });
  t.match(putIn(256), { kind: 'tampered', seq: 259, line: 259 });
});

t.test('two lines that changed places are found at the first', async (t) => {
  alwaysFound(t, (lines, at, other) => {
    const [from, to] = [Math.min(at, other), Math.max(at, other)];
    if (from === to) return undefined;
    [lines[from], lines[to]] = [lines[to] ?? '', lines[from] ?? ''];
    return from + 1;
  });
});

t.test('a line that says something else, its checksum put right, is found by the next one', async (t) => {
  alwaysFound(t, (lines, at) => {
    if (at === lines.length - 1) return undefined;
    if (lines[at]?.includes('"AuditCheckpoint"')) return undefined;
    lines[at] = forge(lines[at] ?? '', { actor: 'somebody else' });
    return at + 1;
  });
});

t.test('a line that follows another one is found, where the next one follows it', async (t) => {
  alwaysFound(t, (lines, at) => {
    if (at >= lines.length - 2 || (at + 1) % 256 === 0 || (at + 2) % 256 === 0) return undefined;
    lines[at] = forge(lines[at] ?? '', { previous: 'f'.repeat(64) });
    lines[at + 1] = forge(lines[at + 1] ?? '', { previous: sha256(lines[at] ?? '') });
    return at === 0 ? 1 : at;
  });
});

t.test('a line with a checksum that holds is no entry yet', async (t) => {
  const lines = logOf(t, 5).slice(0, -1);
  const path = join(temporaryDirectory(t), 'copy.log');
  for (const change of [{ seq: '5' }, { seq: 5.5 }, { previous: 7 }, { event: 7 }, { event: undefined }]) {
    const last = forge(lines.at(-1) ?? '', change);
    t.match(judge(path, textOf(lines.with(-1, last))), { kind: 'tampered', seq: 5 }, JSON.stringify(change));
  }
});

t.test('a log that was read is open no more', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const open = () => readdirSync('/proc/self/fd').length;
  const before = open();
  for (const text of ['', 'x\n', textOf(logOf(t, 2))]) judge(path, text);
  t.equal(open(), before);
});

t.test('lines of which none is an entry are bad from the first one on', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  for (const text of ['x\n', 'x\nx\n', '\n']) t.match(judge(path, text), { kind: 'tampered', seq: 1, line: 1 });
  const lines = logOf(t, 2);
  const body = '{"seq":3,';
  const noJson = `${body},"checksum":"${sha256(body)}"}`;
  t.match(judge(path, textOf([...lines.slice(0, 2), noJson])), { kind: 'tampered', seq: 3, line: 3 });
});

t.test('a checkpoint is dated as its entry is, and holds where one of the keys has signed it', async (t) => {
  const { time, checkpoint } = JSON.parse(logOf(t, 1).at(-1) ?? '');
  t.equal(readCheckpoint(checkpoint)?.iat, Math.floor(Date.parse(time) / 1000));
  const key = deriveSealKey(Buffer.from(secret), 'worker-1');
  const other = deriveSealKey(Buffer.from(secret), 'worker-2');
  t.equal(
    signatureFault(checkpoint, () => [other, key]),
    null,
  );
  t.equal(
    signatureFault(checkpoint, () => [other]),
    'unknown_key',
  );
  const altered = `${checkpoint.slice(0, checkpoint.lastIndexOf('.'))}.${'A'.repeat(43)}`;
  t.equal(
    signatureFault(altered, () => [other, key]),
    'signature',
  );
});

t.test('only a checkpoint states something; only the last file may be torn', async (t) => {
  const lines = logOf(t, 5).slice(0, -1);
  const path = join(temporaryDirectory(t), 'copy.log');
  const talkative = rechain(lines.with(2, forge(lines[2] ?? '', { checkpoint: 'e30.e30.e30' })), 2);
  t.match(judge(path, textOf(talkative)), { kind: 'whole' });
  const second = `${path}.2`;
  writeFileSync(path, textOf(lines.slice(0, 3)).slice(0, -1));
  writeFileSync(second, textOf(lines.slice(3)));
  t.match(verifyLog([path, second], { kept: new Map() }), { kind: 'tampered', seq: 3, file: path, line: 3 });
});

t.test('of two lines that do not fit the one behind tells which', async (t) => {
  const lines = logOf(t, 5);
  const path = join(temporaryDirectory(t), 'copy.log');
  const alien = (line: string) => forge(line, { previous: 'f'.repeat(64) });
  const [first = '', second = '', third = ''] = lines;
  t.match(judge(path, textOf([alien(first), ...lines.slice(1)])), { kind: 'tampered', seq: 1 });
  t.match(judge(path, textOf([alien(first)])), { kind: 'tampered', seq: 1 });
  t.match(judge(path, textOf(lines.toSpliced(2, 0, alien(third)))), { kind: 'tampered', seq: 3 }, 'one was put in');
  const other = forge(second, { shard_id: 'another' });
  t.match(judge(path, textOf(lines.with(1, other))), { kind: 'tampered', seq: 2 }, 'one was changed');
  t.match(judge(path, textOf([first, other, third])), { kind: 'tampered', seq: 2 }, 'with nothing behind');
  for (const at of [0, 1, 2]) {
    const twin = forge(lines[at] ?? '', { shard_id: 'another' });
    const twice = judge(path, textOf(lines.toSpliced(at + 1, 0, twin)));
    t.match(twice, { kind: 'tampered', seq: at + 1, line: at + 2, detail: /appears twice/ });
  }
});

t.test('what is missing at the end is found against a kept checkpoint, torn or not', async (t) => {
  const lines = logOf(t, 300);
  const path = join(temporaryDirectory(t), 'copy.log');
  const kept = lines.slice(-1);
  const text = textOf(lines);
  t.equal(
    judge(path, textOf(lines.slice(0, -1)), { kept }).kind,
    'whole',
    'the checkpoint itself is not what it names',
  );
  t.match(judge(path, '', { kept }), { kind: 'tampered', seq: 1, file: path, line: 0 }, 'all of it');
  fc.assert(
    fc.property(fc.nat(text.length - 1 - (lines.at(-1)?.length ?? 0) - 2), (length) => {
      const whole = text.slice(0, length).split('\n').length - 1;
      const named = text[length] === '\n' ? whole + 1 : whole;
      const verdict = judge(path, text.slice(0, length), { kept });
      return verdict.kind === 'tampered' && verdict.seq === named + 1;
    }),
  );
});

t.test('a log cut off anywhere in a line is torn, and whole up to there', async (t) => {
  const lines = logOf(t, 3);
  const text = textOf(lines);
  const path = join(temporaryDirectory(t), 'copy.log');
  for (let length = 0; length <= text.length; length++) {
    const whole = text.slice(0, length).split('\n').length - 1;
    const ended = length === 0 || text[length - 1] === '\n';
    const lastSeq = text[length] === '\n' ? whole + 1 : whole;
    const verdict = judge(path, text.slice(0, length));
    if (verdict.kind === (ended ? 'whole' : 'torn') && verdict.lastSeq === lastSeq) continue;
    t.fail(`cut to ${length}: ${JSON.stringify(verdict)}`);
  }
  t.match(judge(path, `${text}${'x'.repeat(200_000)}`), { kind: 'torn', lastSeq: lines.length });
  t.match(judge(path, `${text}\n`), { kind: 'tampered', seq: lines.length + 1 });
  t.match(judge(path, `${'x'.repeat(3_000_000)}\n${text}`), { kind: 'tampered', seq: 1 });
});

t.test('a log that was written anew from some entry on is contradicted by what was kept, and by its own', async (t) => {
  const lines = logOf(t, 600);
  const path = join(temporaryDirectory(t), 'copy.log');
  const kept = lines.filter((line) => line.includes('"AuditCheckpoint"'));
  for (const from of [0, 1, 200, 254]) {
    const rewritten = rechain(lines.with(from, forge(lines[from] ?? '', { shard_id: 'another' })), from);
    t.match(judge(path, textOf(rewritten), { kept }), { kind: 'tampered', seq: 255 }, `from ${from}`);
    t.match(judge(path, textOf(rewritten)), { kind: 'tampered', seq: 255 }, `its checkpoint is another's`);
  }
  const late = rechain(lines.with(300, forge(lines[300] ?? '', { shard_id: 'another' })), 300);
  t.match(judge(path, textOf(late), { kept }), { kind: 'tampered', seq: 511 });
});

t.test('a checkpoint is signed, states what stands before it, and stands where it must', async (t) => {
  const lines = logOf(t, 300).slice(0, -1);
  const path = join(temporaryDirectory(t), 'copy.log');
  const at = 255;
  const [header = '', payload = '', signature = ''] = JSON.parse(lines[at] ?? '').checkpoint.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const stating = (change: object, mark = signature) => {
    const altered = Buffer.from(JSON.stringify({ ...claims, ...change })).toString('base64url');
    return rechain(lines.with(at, forge(lines[at] ?? '', { checkpoint: `${header}.${altered}.${mark}` })), at);
  };
  t.equal(JSON.parse(lines[at] ?? '').event, 'AuditCheckpoint');
  t.match(judge(path, textOf(stating({ iat: 1 }))), { kind: 'whole' }, 'nobody looked at the signature');
  const unsigned = { kind: 'tampered', seq: 256, detail: /\(signature\)$/ };
  t.match(judge(path, textOf(stating({ iat: 1 })), { signed: true }), unsigned);
  const unknown = { kind: 'tampered', seq: 256, detail: /no later checkpoint is signed with a known key$/ };
  t.match(judge(path, textOf(stating({ iss: 'worker-2' })), { signed: true }), unknown);
  t.match(judge(path, textOf(stating({ reason: 'whim' }))), { kind: 'tampered', seq: 256 });
  t.match(judge(path, textOf(stating({ sequence: 254 }))), { kind: 'tampered', seq: 256 });
  t.match(judge(path, textOf(stating({ hash: 'f'.repeat(64) }))), { kind: 'tampered', seq: 255 });
  t.match(judge(path, textOf(stating({ hash: 1 }))), { kind: 'tampered', seq: 256 });
  const without = rechain(lines.with(at, lines[1] ?? ''), at);
  t.match(judge(path, textOf(without)), { kind: 'tampered', seq: 256 }, 'every 256th entry is one');
  const bare = rechain(lines.with(7, forge(lines[7] ?? '', { event: 'AuditCheckpoint' })), 7);
  t.match(judge(path, textOf(bare)), { kind: 'tampered', seq: 8 });
  const jws = JSON.parse(lines[at] ?? '').checkpoint;
  t.match(readCheckpoint(jws), { iss: identity.workerId, boot_id: identity.bootId, reason: 'interval', sequence: 255 });
});

t.test('a later checkpoint of a key that is known vouches for those of keys that are not', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const copy = join(temporaryDirectory(t), 'copy.log');
  const former = new Signer('worker-1', 'simulated', deriveSealKey(Buffer.from('x'.repeat(40)), 'worker-1'));
  const log = logAt(path, { checkpoint: (link, reason) => writeCheckpoint(former, link, reason) });
  log.append([sealed('a')]);
  log.checkpoint('stop');
  log.append([sealed('b')]);
  log.checkpoint('stop');
  log.close();
  const before = readFileSync(path, 'utf8');
  t.match(judge(copy, before, { signed: true }), { kind: 'tampered', seq: 2 }, 'the first that nobody vouches for');
  const next = logAt(path);
  next.append([sealed('c')]);
  t.match(judge(copy, readFileSync(path, 'utf8'), { signed: true }), { kind: 'tampered', seq: 2 });
  next.checkpoint('stop');
  next.close();
  t.match(judge(copy, readFileSync(path, 'utf8'), { signed: true }), { kind: 'whole', lastSeq: 6, checkpoints: 3 });
});

t.test('a log whose beginning somebody took away is no log, but for who keeps a checkpoint of it', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const aside = `${path}.away`;
  const copy = join(temporaryDirectory(t), 'copy.log');
  for (const takeAway of [() => truncateSync(path), () => rmSync(path), () => renameSync(path, aside)]) {
    rmSync(path, { force: true });
    const log = logAt(path);
    log.append([sealed('a'), sealed('b')]);
    const earlier = readFileSync(path, 'utf8');
    takeAway();
    log.append([sealed('c')]);
    log.close();
    const later = readFileSync(path, 'utf8');
    const [kept = ''] = later.split('\n');
    t.match(JSON.parse(kept), { seq: 3, event: 'AuditCheckpoint', reason: 'moved' });
    t.match(judge(copy, later), { kind: 'tampered', seq: 1, detail: /^is missing: entry 3/ });
    t.match(judge(copy, later, { kept: [kept] }), { kind: 'whole', firstSeq: 3 });
    t.match(judge(copy, earlier + later), { kind: 'whole', firstSeq: 1, lastSeq: 4 });
  }
});

t.test('a log that does not begin at its beginning is no log, but for a file that was put aside', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path, { maxBytes: 8000 });
  for (let index = 0; index < 40; index++) log.append([sealed(`shard-${index}`)]);
  log.close();
  const text = readFileSync(path, 'utf8');
  const [first = '', second = ''] = text.split('\n');
  const copy = join(temporaryDirectory(t), 'copy.log');
  const { seq } = JSON.parse(first);
  t.ok(seq > 1);
  t.match(judge(copy, text, { signed: true }), { kind: 'whole', firstSeq: seq });
  t.match(
    judge(copy, text, { kept: [first] }),
    { kind: 'whole', firstSeq: seq },
    'the entry before is known by its hash',
  );
  t.match(judge(copy, text.slice(first.length + 1)), { kind: 'tampered', seq: 1 });
  t.match(judge(copy, text.replace('"seq"', '"sep"')), { kind: 'tampered', seq });
  const alien = forge(first, { previous: 'e'.repeat(64) });
  t.match(judge(copy, `${alien}\n${second}\n`), { kind: 'tampered', seq: seq - 1 });
  const others = new Map([5, 2, 3].map((number) => [number, 'f'.repeat(64)] as const));
  writeFileSync(copy, text);
  t.match(verifyLog([copy], { kept: others }), { kind: 'tampered', seq: 2 }, 'of many the first');
  const early = logOf(t, 3).slice(-1);
  t.match(judge(copy, text, { kept: early }), { kind: 'tampered', seq: 3 }, 'what a checkpoint names is not here');
});
