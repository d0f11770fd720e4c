import { statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { logAt, readChain, sealed } from '../../support/audit.js';
import { verifyFiles } from '../../support/audit_verify.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';

t.test('every 256th entry is a checkpoint, also across restarts and within a batch', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  for (const count of [1, 253, 1, 1, 3, 600]) {
    const log = logAt(path);
    await log.append(Array.from({ length: count }, () => sealed('a')));
    await log.close();
  }
  const checkpoints = readChain(path).flatMap(({ seq, event }) => (event === 'AuditCheckpoint' ? [seq] : []));
  t.same(checkpoints, [256, 512, 768]);
  t.match(verifyFiles(path), { kind: 'whole', checkpoints: 3 });
});

t.test('an entry has at most 65,535 bytes; a longer one is rejected, and not even partly written', async (t) => {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  await log.append([sealed('')]);
  const bare = statSync(path).size - 1;
  const long = (bytes: number) => sealed('x'.repeat(bytes - bare));
  await t.rejects(log.append([long(65_536)]), { message: /too long/ });
  await log.append([long(65_535)]);
  t.match(verifyFiles(path), { kind: 'whole', lastSeq: 2 });
  await log.close();
  const next = logAt(path);
  await next.append([sealed('b')]);
  t.match(verifyFiles(path), { kind: 'whole', lastSeq: 3 }, 'the next start finds the end');
});
