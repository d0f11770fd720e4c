import { readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { verifyLog } from '../../../src/audit/verify/verify_log.js';
import { forge, logAt, sealed } from '../../support/audit.js';
import { logOf, verify } from '../../support/audit_verify.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';

t.test('a log whose start was removed is invalid, unless a checkpoint of it was kept', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const copy = join(temporaryDirectory(t), 'copy.log');
  for (const removeStart of [() => truncateSync(path), () => rmSync(path), () => renameSync(path, `${path}.away`)]) {
    rmSync(path, { force: true });
    const log = logAt(path);
    await log.append([sealed('a'), sealed('b')]);
    const earlier = readFileSync(path, 'utf8');
    removeStart();
    await log.append([sealed('c')]);
    await log.close();
    const later = readFileSync(path, 'utf8');
    const [kept = ''] = later.split('\n');
    t.match(JSON.parse(kept), { seq: 3, event: 'AuditCheckpoint', reason: 'moved' });
    t.match(verify(copy, later), { kind: 'tampered', seq: 1, detail: /^is missing: entry 3/ });
    t.match(verify(copy, later, { kept: [kept] }), { kind: 'whole', firstSeq: 3 });
    t.match(verify(copy, earlier + later), { kind: 'whole', firstSeq: 1, lastSeq: 4 });
  }
});

t.test('a log that starts late is invalid, unless it starts with a rotated file', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path, { maxBytes: 8000 });
  for (let index = 0; index < 40; index++) await log.append([sealed(`shard-${index}`)]);
  await log.close();
  const text = readFileSync(path, 'utf8');
  const [first = '', second = ''] = text.split('\n');
  const copy = join(temporaryDirectory(t), 'copy.log');
  const { seq } = JSON.parse(first);
  t.ok(seq > 1);
  t.match(verify(copy, text, { signed: true }), { kind: 'whole', firstSeq: seq });
  t.match(
    verify(copy, text, { kept: [first] }),
    { kind: 'whole', firstSeq: seq },
    'the hash of the previous entry is known',
  );
  t.match(verify(copy, text.slice(first.length + 1)), { kind: 'tampered', seq: 1 });
  t.match(verify(copy, text.replace('"seq"', '"sep"')), { kind: 'tampered', seq });
  const unlinked = forge(first, { previous: 'e'.repeat(64) });
  t.match(verify(copy, `${unlinked}\n${second}\n`), { kind: 'tampered', seq: seq - 1 });
  const others = new Map([5, 2, 3].map((number) => [number, 'f'.repeat(64)] as const));
  writeFileSync(copy, text);
  t.match(verifyLog([copy], { kept: others }), { kind: 'tampered', seq: 2 }, 'the first of several');
  const many = new Map(Array.from({ length: 200_000 }, (_, index) => [index + 2, 'f'.repeat(64)] as const));
  writeFileSync(copy, `${forge(first, { seq: 200_002 })}\n`);
  t.match(verifyLog([copy], { kept: many }), { kind: 'tampered', seq: 2 }, 'the first of very many');
  const early = (await logOf(t, 3)).slice(-1);
  t.match(
    verify(copy, text, { kept: early }),
    { kind: 'tampered', seq: 3 },
    'the entry of a kept checkpoint is missing',
  );
});
