import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { readChain } from '../support/audit.js';
import { patternBytes } from '../support/bytes.js';
import { FailingFiles } from '../support/failing_files.js';
import { shardsListedIn } from '../support/manifest.js';
import { get, post, remove, upload } from '../support/requests.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';

const bytes = patternBytes(5000);
const commitFile = (worker: TestWorker, shardId: string) =>
  post(worker, '/v1/commit', { shard_id: shardId, model_ref: 'm', source: { type: 'file', path: 'model' } });

interface Change {
  /** The audit log has this event if the change took effect. */
  readonly event: string;
  readonly send: (worker: TestWorker) => Promise<LightMyRequestResponse>;
  /** Undoes the change, so that it can be sent again. */
  readonly undo: (worker: TestWorker) => Promise<unknown>;
}

const changes: Readonly<Record<string, Change>> = {
  upload: {
    event: 'VramSealed',
    send: (worker) => upload(worker, 'b', bytes),
    undo: (worker) => remove(worker, '/v1/shards/b'),
  },
  'commit by reference': {
    event: 'VramSealed',
    send: (worker) => commitFile(worker, 'b'),
    undo: (worker) => remove(worker, '/v1/shards/b'),
  },
  verify: { event: 'SealVerified', send: (worker) => post(worker, '/v1/shards/a/verify'), undo: async () => undefined },
  release: {
    event: 'VramDeallocated',
    send: (worker) => remove(worker, '/v1/shards/a'),
    undo: (worker) => commitFile(worker, 'a'),
  },
};

/** Everything that a change can alter, for this process and for the next one. */
async function stateOf(worker: TestWorker, manifest: string): Promise<object> {
  const [shards, devices] = [await get(worker, '/v1/shards'), await get(worker, '/v1/devices')];
  return { shards: shards.json(), devices: devices.json(), listed: shardsListedIn(manifest) };
}

interface Scene {
  readonly worker: TestWorker;
  readonly files: FailingFiles;
  readonly log: string;
  readonly manifest: string;
}

/** Starts a worker with a shard `a`. Its audit log and its manifest are files that can be made to fail. */
async function start(t: Test): Promise<Scene> {
  const [directory, models] = [temporaryDirectory(t), temporaryDirectory(t)];
  writeFileSync(join(models, 'model'), bytes);
  const [log, manifest] = [join(directory, 'audit.log'), join(directory, 'manifest')];
  const files = FailingFiles.below(t, directory);
  const env = { WORKER_MODEL_DIR: models, WORKER_AUDIT_LOG: log, WORKER_MANIFEST: manifest };
  const worker = await startWorker(t, { env });
  await commitFile(worker, 'a');
  return { files, log, manifest, worker };
}

interface Fault {
  /** The call of the file system that fails. */
  readonly nth: number;
  /** All later calls fail too. */
  readonly persistent: boolean;
}

const untilHealthy = (worker: TestWorker) => until(async () => (await get(worker, '/readyz')).statusCode === 200);

/** Sends a change while a call fails, checks the outcome, and undoes the change. Returns whether it was refused. */
async function sendWithFault(t: Test, scene: Scene, { event, send, undo }: Change, fault: Fault): Promise<boolean> {
  const { files, log, manifest, worker } = scene;
  const { nth, persistent } = fault;
  const name = `call ${nth}${persistent ? ' and all later ones' : ''}`;
  const before = await stateOf(worker, manifest);
  files.fail(nth, persistent);
  const answer = await send(worker);
  files.heal();
  const { statusCode } = answer;
  const logged = () => {
    const own = readChain(log).filter((entry) => entry.request_id === answer.headers['x-request-id']);
    return own.map((entry) => entry.event);
  };
  if (statusCode !== 503) {
    t.ok([200, 201, 204].includes(statusCode), `${name}: ${statusCode} ${answer.body}`);
    t.ok(logged().includes(event), `${name}: the change is on the audit log`);
    await untilHealthy(worker);
    await undo(worker);
    return false;
  }
  t.match(answer.json(), { code: 'AUDIT_UNAVAILABLE' }, name);
  const { listed: _, ...now } = Object(await stateOf(worker, manifest));
  t.match(before, now, `${name}: the change is refused and has no effect`);
  // The worker rewrites the manifest without a request.
  await until(async () => isDeepStrictEqual(await stateOf(worker, manifest), before));
  t.pass(`${name}: the change has no effect on the next process`);
  await untilHealthy(worker);
  // An entry that could be neither synced nor removed stays, although its change did not happen. The next one says so.
  if (!persistent && event === 'VramSealed') {
    await until(() => [undefined, 'VramDeallocated'].includes(logged().at(-1)));
    t.pass(`${name}: no seal is the last entry`);
  } else if (!persistent && event === 'VramDeallocated') {
    await until(() => [undefined, 'EffectAborted'].includes(logged().at(-1)));
    t.pass(`${name}: no release is the last entry`);
  } else if (!persistent) {
    t.same(logged(), [], `${name}: the change is not on the audit log`);
  }
  return true;
}

for (const [name, change] of Object.entries(changes)) {
  t.test(`${name}: if a file call fails, the change is done and logged, or refused without effect`, async (t) => {
    const scene = await start(t);
    const { files, worker } = scene;
    files.calls();
    await change.send(worker);
    await change.undo(worker);
    const count = files.calls();
    t.ok(count >= 2, `the ${count} calls of a change can fail: a check of the path and a write at least`);
    for (const persistent of [false, true]) {
      for (let nth = 1; nth <= count; nth += persistent ? 3 : 1) {
        const isRefused = await sendWithFault(t, scene, change, { nth, persistent });
        // A single failure can be that of a call in the background.
        if (persistent && nth === 1) t.ok(isRefused, 'it is refused if all calls fail');
      }
    }
  });
}
