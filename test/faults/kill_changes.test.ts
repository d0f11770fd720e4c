import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { verifyLog } from '../../src/audit/verify/verify_log.js';
import { logFiles, readChain } from '../support/audit.js';
import { shardsListedIn } from '../support/manifest.js';
import type { WorkerProcess } from '../support/process.js';
import { until } from '../support/until.js';
import { type Answer, ask, commit, kill, release, sealedIds, untilRestored, workspace } from './restarts/workspace.js';
import { scale, seeded } from './scale.js';

const kills = scale(5, 200);
const shardIds = ['s0', 's1', 's2', 's3', 's4', 's5'];
t.setTimeout(0);

/** What a client knows of a shard: its state after the last answer, or unknown while a change has no answer. */
type Known = 'sealed' | 'absent' | 'unknown';

/** Sends changes of one shard, one after the other, until the connection is lost. */
async function changeUntilKilled(
  worker: WorkerProcess,
  shardId: string,
  known: Map<string, Known>,
  progress: { answers: number },
): Promise<void> {
  for (;;) {
    const before = known.get(shardId) ?? 'absent';
    const send = before === 'sealed' ? release : commit;
    known.set(shardId, 'unknown');
    let answer: Answer;
    try {
      answer = await send(worker, shardId);
    } catch {
      return;
    }
    progress.answers++;
    // A refused change has no effect on this process, and none on the next one.
    const isDone = [200, 201, 204].includes(answer.status);
    if (isDone) known.set(shardId, send === commit ? 'sealed' : 'absent');
    else known.set(shardId, before);
  }
}

/** Replaces the secret of the seal key again and again. */
async function rotateUntil(worker: WorkerProcess, secret: string, isOver: () => boolean): Promise<void> {
  for (let round = 0; !isOver(); round++) {
    writeFileSync(`${secret}.new`, `secret-${round}-${Math.random()}`.padEnd(40, 'x'), { mode: 0o600 });
    renameSync(`${secret}.new`, secret);
    worker.child.kill('SIGHUP');
    await sleep(30);
  }
}

/** The shards of which the manifest and the audit log say different things. A change without an answer explains that. */
function unexplained(manifest: string, log: string, known: ReadonlyMap<string, Known>): string[] {
  const sealed = new Set<unknown>();
  for (const { event, shard_id, aborted } of readChain(log)) {
    if (event === 'WorkerStarted') sealed.clear();
    if (event === 'VramSealed' || aborted === 'VramDeallocated') sealed.add(shard_id);
    if (event === 'VramDeallocated') sealed.delete(shard_id);
  }
  const listed = shardsListedIn(manifest).map(({ shard_id }) => shard_id);
  return shardIds.filter((id) => known.get(id) !== 'unknown' && sealed.has(id) !== listed.includes(id));
}

/** The shards that the restart must or must not have restored, and that differ from the last answer to a client. */
const contradictions = (known: ReadonlyMap<string, Known>, restored: readonly string[]): string[] =>
  [...known].flatMap(([id, state]) => {
    if (state === 'unknown' || (state === 'sealed') === restored.includes(id)) return [];
    return [`${id}: answered ${state}, restored: ${restored.join()}`];
  });

async function requireCurrentHandles(t: Test, worker: WorkerProcess): Promise<void> {
  for (const { handle } of (await ask(worker, 'GET', '/v1/ready')).body.handles ?? []) {
    t.equal((await ask(worker, 'POST', '/v1/handles/verify', { handle })).body.valid, true);
  }
}

t.test('after kill -9 at any moment, the next process has exactly the acknowledged changes', async (t) => {
  const { directory, start } = workspace(t, {
    WORKER_AUDIT_LOG: 'audit.log',
    WORKER_MANIFEST: 'manifest',
    WORKER_SEAL_KEY_FILE: 'seal-key',
    WORKER_KEY_GRACE_SECONDS: '0',
    WORKER_AUDIT_MAX_BYTES: '65536',
  });
  const [log, manifest, secret] = [
    join(directory, 'audit.log'),
    join(directory, 'manifest'),
    join(directory, 'seal-key'),
  ];
  writeFileSync(secret, 'x'.repeat(40), { mode: 0o600 });
  // A biased sample has mostly moments before the first change.
  const moments = fc.sample(fc.noBias(fc.nat(400)), { numRuns: kills, ...seeded() });
  const known = new Map<string, Known>(shardIds.map((id) => [id, 'absent']));
  const progress = { answers: 0 };
  for (const [round, moment] of moments.entries()) {
    const worker = await start();
    await untilRestored(worker);
    const restored = await sealedIds(worker);
    t.same(contradictions(known, restored), [], `round ${round}`);
    t.same(
      shardsListedIn(manifest)
        .map(({ shard_id }) => shard_id)
        .sort(),
      restored,
    );
    await requireCurrentHandles(t, worker);
    for (const id of shardIds) known.set(id, restored.includes(id) ? 'sealed' : 'absent');
    let isOver = false;
    const rotating = rotateUntil(worker, secret, () => isOver);
    const changing = shardIds.map((id) => changeUntilKilled(worker, id, known, progress));
    await sleep(moment);
    // On a slow machine no change may have an answer at these moments.
    if (round === kills - 1) await until(() => progress.answers > kills, 'no change is answered');
    isOver = true;
    await kill(worker);
    await Promise.all(changing);
    await rotating;
    t.match(verifyLog(logFiles(log), { kept: new Map() }).kind, /whole|torn/);
    t.same(unexplained(manifest, log, known), []);
  }
  t.ok(progress.answers > kills, `${progress.answers} changes were answered`);
  t.comment(
    `figure: kill -9 at a random moment, restored exactly the acknowledged changes, ${kills} of ${kills} (${progress.answers} changes)`,
  );
});
