import { join } from 'node:path';
import t, { type Test } from 'tap';
import { verifyLog } from '../../src/audit/verify/verify_log.js';
import { readChain } from '../support/audit.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import {
  ask,
  commit,
  kill,
  release,
  type SmallDisk,
  sealedIds,
  smallDisk,
  untilHealthy,
  untilRestored,
  workspace,
} from './restarts/workspace.js';

t.setTimeout(600_000);

interface Files {
  readonly WORKER_AUDIT_LOG: string;
  readonly WORKER_MANIFEST: string;
}

/** Runs a part for each choice of the files that are on a small disk. */
function onSmallDisks(t: Test, title: string, part: (t: Test, disk: SmallDisk, files: Files) => Promise<void>): void {
  for (const small of [['audit'], ['manifest'], ['audit', 'manifest']]) {
    t.test(`${small.join(' and ')}: ${title}`, async (t) => {
      const disk = smallDisk(t);
      if (disk === undefined) return void t.pass('a small disk', { skip: 'only root can mount one' });
      const large = temporaryDirectory(t);
      const place = (name: string) => join(small.includes(name) ? disk.directory : large, name);
      return part(t, disk, { WORKER_AUDIT_LOG: place('audit'), WORKER_MANIFEST: place('manifest') });
    });
  }
}

onSmallDisks(
  t,
  'a full disk refuses changes, and a kill then restores what was acknowledged',
  async (t, disk, files) => {
    const { start } = workspace(t, { ...files });
    const worker = await start();
    for (const id of ['a', 'b', 'c']) t.equal((await commit(worker, id)).status, 201);
    t.equal((await release(worker, 'c')).status, 204);
    disk.fill();
    const refused = [await commit(worker, 'd'), await release(worker, 'a'), await release(worker, 'a')];
    for (const { status, body } of refused) t.match({ status, ...body }, { status: 503, code: 'AUDIT_UNAVAILABLE' });
    t.match((await ask(worker, 'GET', '/readyz')).body, { reasons: [{ code: 'AUDIT_UNAVAILABLE' }] });
    t.equal((await ask(worker, 'GET', '/livez')).status, 200);
    await kill(worker);

    const second = await start();
    const isAuditFull = files.WORKER_AUDIT_LOG.startsWith(disk.directory);
    // Each restored shard needs its audit entries.
    if (isAuditFull) t.match((await ask(second, 'GET', '/v1/ready')).body, { state: 'loading' });
    else await untilRestored(second);
    t.equal((await commit(second, 'd')).status, 503);
    t.equal((await ask(second, 'GET', '/readyz')).status, 503);
    if (!isAuditFull) t.same(await sealedIds(second), ['a', 'b']);
    disk.free();
    await untilHealthy(second);
    await untilRestored(second);
    t.same(await sealedIds(second), ['a', 'b'], 'the worker recovers when the disk has space');
    t.equal((await commit(second, 'd')).status, 201);
    t.equal((await release(second, 'a')).status, 204);
    await kill(second);

    const third = await start();
    await untilRestored(third);
    t.same(await sealedIds(third), ['b', 'd']);
    third.child.kill('SIGTERM');
    t.equal(await third.exited, 0);
    t.equal(verifyLog([files.WORKER_AUDIT_LOG], { kept: new Map() }).kind, 'whole');
    const events = readChain(files.WORKER_AUDIT_LOG).filter(({ shard_id }) => shard_id === 'd');
    t.equal(events.at(-1)?.reason, 'stopped');
  },
);
