import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readChain } from '../support/audit.js';
import { patternBytes } from '../support/bytes.js';
import { FailingFiles } from '../support/failing_files.js';
import { shardsListedIn } from '../support/manifest.js';
import { head, RawClient } from '../support/raw_http.js';
import { availableBytes, get, remove } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker } from '../support/worker.js';

process.env.CUDA_SIM_ENGINE = 'fast';

const bytes = patternBytes(700_000);
t.setTimeout(600_000);
t.afterEach(() => simulator.reset());

interface Scene {
  readonly worker: TestWorker;
  readonly files: FailingFiles;
  readonly log: string;
  readonly manifest: string;
  readonly available: readonly number[];
}

async function scene(t: Test): Promise<Scene> {
  const directory = temporaryDirectory(t);
  const [log, manifest] = [join(directory, 'audit.log'), join(directory, 'manifest')];
  const files = FailingFiles.below(t, directory);
  const worker = await startWorker(t, { listen: true, env: { WORKER_AUDIT_LOG: log, WORKER_MANIFEST: manifest } });
  return { worker, files, log, manifest, available: await availableBytes(worker) };
}

const send = (worker: TestWorker): RawClient =>
  new RawClient(worker.url)
    .send(head('PUT /v1/commit?shard_id=a&model_ref=m', { 'Content-Length': bytes.length }))
    .send(bytes);

const stateOf = (worker: TestWorker): string | undefined => worker.residency.shards({ limit: 1 }).shards[0]?.state;

/** The commit has taken effect completely, or not at all: in the worker, in its manifest and in its audit log. */
async function settle(t: Test, { worker, log, manifest, available }: Scene, title: string): Promise<boolean> {
  await until(() => worker.residency.commitsInProgress === 0);
  await until(() => [undefined, 'sealed'].includes(stateOf(worker)));
  const isSealed = stateOf(worker) === 'sealed';
  const last = readChain(log)
    .filter(({ shard_id }) => shard_id === 'a')
    .at(-1);
  t.equal(shardsListedIn(manifest).length, isSealed ? 1 : 0, title);
  t.match(last?.event ?? 'VramDeallocated', isSealed ? 'VramSealed' : 'VramDeallocated', title);
  if (isSealed) t.equal((await remove(worker, '/v1/shards/a')).statusCode, 204, title);
  t.same(await availableBytes(worker), available, title);
  t.same((await get(worker, '/v1/ready')).json().handles, [], title);
  return isSealed;
}

t.test('an upload aborted before any file call takes effect completely, or not at all', onSimulator, async (t) => {
  const scenery = await scene(t);
  const { worker, files } = scenery;
  files.calls();
  await send(worker).until(/"handle"/);
  const count = files.calls();
  t.ok(await settle(t, scenery, 'without an abort'));
  let undone = 0;
  for (let nth = 1; nth <= count; nth++) {
    let client: RawClient | undefined;
    let isAborted = false;
    files.before(nth, () => {
      client?.reset();
      isAborted = true;
    });
    client = send(worker);
    await until(() => isAborted);
    files.before(0, () => undefined);
    if (!(await settle(t, scenery, `call ${nth}`))) undone++;
  }
  t.ok(undone > 0 && undone < count, `${undone} of ${count} were undone`);
  t.comment(`figure: uploads aborted before a file call, consistent ${count} of ${count} (${undone} undone)`);
});

t.test(
  'an upload aborted after any driver call of its seal takes effect completely, or not at all',
  onSimulator,
  async (t) => {
    const scenery = await scene(t);
    const { worker } = scenery;
    simulator.latencyUs(500);
    const first = simulator.calls('*');
    await send(worker).until(/"handle"/);
    const count = simulator.calls('*') - first;
    t.ok(await settle(t, scenery, 'without an abort'));
    let undone = 0;
    for (let nth = 1; nth <= count; nth++) {
      const from = simulator.calls('*');
      const client = send(worker);
      await until(() => simulator.calls('*') >= from + nth || client.heard.includes('handle'));
      client.reset();
      if (!(await settle(t, scenery, `call ${nth}`))) undone++;
    }
    t.ok(undone > 0, `${undone} of ${count} were undone`);
    t.comment(`figure: uploads aborted after a driver call, consistent ${count} of ${count} (${undone} undone)`);
  },
);
