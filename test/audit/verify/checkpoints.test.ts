import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { readCheckpoint, writeCheckpoint } from '../../../src/audit/checkpoint.js';
import { Signer } from '../../../src/residency/state/signer.js';
import { deriveSealKey } from '../../../src/seal/key.js';
import { forge, identity, logAt, sealed } from '../../support/audit.js';
import { logOf, rechain, textOf, verify } from '../../support/audit_verify.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';

t.test('a kept checkpoint reveals a missing end, also of a torn log', async (t) => {
  const lines = await logOf(t, 300);
  const path = join(temporaryDirectory(t), 'copy.log');
  const kept = lines.slice(-1);
  const text = textOf(lines);
  t.equal(verify(path, textOf(lines.slice(0, -1)), { kept }).kind, 'whole', 'a checkpoint does not name itself');
  t.match(verify(path, '', { kept }), { kind: 'tampered', seq: 1, file: path, line: 0 }, 'the whole log');
  fc.assert(
    fc.property(fc.nat(text.length - 1 - (lines.at(-1)?.length ?? 0) - 2), (length) => {
      const whole = text.slice(0, length).split('\n').length - 1;
      const named = text[length] === '\n' ? whole + 1 : whole;
      const verdict = verify(path, text.slice(0, length), { kept });
      return verdict.kind === 'tampered' && verdict.seq === named + 1;
    }),
  );
});

t.test('a rewritten log contradicts kept checkpoints and its own', async (t) => {
  const lines = await logOf(t, 600);
  const path = join(temporaryDirectory(t), 'copy.log');
  const kept = lines.filter((line) => line.includes('"AuditCheckpoint"'));
  for (const from of [0, 1, 200, 254]) {
    const rewritten = rechain(lines.with(from, forge(lines[from] ?? '', { shard_id: 'another' })), from);
    t.match(verify(path, textOf(rewritten), { kept }), { kind: 'tampered', seq: 255 }, `from ${from}`);
    t.match(verify(path, textOf(rewritten)), { kind: 'tampered', seq: 255 }, `from ${from}, by its own checkpoint`);
  }
  const late = rechain(lines.with(300, forge(lines[300] ?? '', { shard_id: 'another' })), 300);
  t.match(verify(path, textOf(late), { kept }), { kind: 'tampered', seq: 511 });
});

t.test('a checkpoint is signed, describes the previous entry, and is every 256th entry', async (t) => {
  const lines = (await logOf(t, 300)).slice(0, -1);
  const path = join(temporaryDirectory(t), 'copy.log');
  const at = 255;
  const [header = '', payload = '', signature = ''] = JSON.parse(lines[at] ?? '').checkpoint.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const stating = (change: object, mark = signature) => {
    const altered = Buffer.from(JSON.stringify({ ...claims, ...change })).toString('base64url');
    return rechain(lines.with(at, forge(lines[at] ?? '', { checkpoint: `${header}.${altered}.${mark}` })), at);
  };
  t.equal(JSON.parse(lines[at] ?? '').event, 'AuditCheckpoint');
  t.match(verify(path, textOf(stating({ iat: 1 }))), { kind: 'whole' }, 'without verification of signatures');
  const unsigned = { kind: 'tampered', seq: 256, detail: /\(signature\)$/ };
  t.match(verify(path, textOf(stating({ iat: 1 })), { signed: true }), unsigned);
  const unknown = { kind: 'tampered', seq: 256, detail: /no later checkpoint is signed with a known key$/ };
  t.match(verify(path, textOf(stating({ iss: 'worker-2' })), { signed: true }), unknown);
  t.match(verify(path, textOf(stating({ reason: 'unknown' }))), { kind: 'tampered', seq: 256 });
  t.match(verify(path, textOf(stating({ sequence: 254 }))), { kind: 'tampered', seq: 256 });
  t.match(verify(path, textOf(stating({ hash: 'f'.repeat(64) }))), { kind: 'tampered', seq: 255 });
  t.match(verify(path, textOf(stating({ hash: 1 }))), { kind: 'tampered', seq: 256 });
  const without = rechain(lines.with(at, lines[1] ?? ''), at);
  t.match(verify(path, textOf(without)), { kind: 'tampered', seq: 256 }, 'every 256th entry must be a checkpoint');
  const bare = rechain(lines.with(7, forge(lines[7] ?? '', { event: 'AuditCheckpoint' })), 7);
  t.match(verify(path, textOf(bare)), { kind: 'tampered', seq: 8 });
  const jws = JSON.parse(lines[at] ?? '').checkpoint;
  t.match(readCheckpoint(jws), { iss: identity.workerId, boot_id: identity.bootId, reason: 'interval', sequence: 255 });
});

t.test('a later checkpoint with a known key vouches for those with unknown keys', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const copy = join(temporaryDirectory(t), 'copy.log');
  const previous = new Signer('worker-1', 'simulated', deriveSealKey(Buffer.from('x'.repeat(40)), 'worker-1'));
  const log = logAt(path, { checkpoint: (head, reason) => writeCheckpoint(previous, head, reason) });
  await log.append([sealed('a')]);
  await log.checkpoint('stop');
  await log.append([sealed('b')]);
  await log.checkpoint('stop');
  await log.close();
  const before = readFileSync(path, 'utf8');
  t.match(
    verify(copy, before, { signed: true }),
    { kind: 'tampered', seq: 2 },
    'the first that no later checkpoint vouches for',
  );
  const next = logAt(path);
  await next.append([sealed('c')]);
  t.match(verify(copy, readFileSync(path, 'utf8'), { signed: true }), { kind: 'tampered', seq: 2 });
  await next.checkpoint('stop');
  await next.close();
  t.match(verify(copy, readFileSync(path, 'utf8'), { signed: true }), { kind: 'whole', lastSeq: 6, checkpoints: 3 });
});

t.test('a checkpoint inside an entry of another event is ignored', async (t) => {
  const lines = (await logOf(t, 5)).slice(0, -1);
  const path = join(temporaryDirectory(t), 'copy.log');
  const withField = rechain(lines.with(2, forge(lines[2] ?? '', { checkpoint: 'e30.e30.e30' })), 2);
  t.match(verify(path, textOf(withField)), { kind: 'whole' });
});
