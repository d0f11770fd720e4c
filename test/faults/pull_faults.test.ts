import t, { type Test } from 'tap';
import { endedPull, startPull, startPuller } from '../support/pull_source.js';
import { availableBytes, get, post, remove } from '../support/requests.js';
import { onSimulator, simulator } from '../support/simulator.js';
import { StagingLedger } from '../support/staging_ledger.js';
import { until } from '../support/until.js';
import type { TestWorker } from '../support/worker.js';
import { type End, EndingSource, ends, lengths } from './pull_faults/ending_source.js';
import { scale } from './scale.js';

// Read by the simulator when the first worker starts. A worker whose driver is lost frees no memory.
process.env.CUDA_SIM_DEVICES = '1GiB,1GiB';

/** The ways in which a driver call fails. */
const manners = {
  once: (nth: number) => `*:${nth}=999`,
  'out of memory': (nth: number) => `*:${nth}=2`,
  'until the pull has ended': (nth: number) => `*:${nth}+=999`,
  'with a sticky error': (nth: number) => `*:${nth}=700`,
} as const;
type Manner = keyof typeof manners;
const mannerNames: readonly Manner[] = ['once', 'out of memory', 'until the pull has ended', 'with a sticky error'];

/** A pull that ends at a step of a file while a driver call fails. */
interface Case {
  readonly end: End;
  readonly manner: Manner;
  readonly nth: number;
}

/** The errors that a client may see: those of the driver, and those of the end. */
const permitted = ['CUDA_ERROR', 'VRAM_OOM', 'PULL_CANCELLED', 'SOURCE_NOT_FOUND', 'DIGEST_MISMATCH', 'DRAINING'];

/** Each of the two slots leaves at most one idle stream with its events, which the next load takes. */
const idleStreamObjects = 6;

const staging = StagingLedger.begin();

interface Scene {
  readonly worker: TestWorker;
  readonly reservationId: string;
  /** The driver objects of a worker that has run a pull. */
  readonly live: number;
  /** What is held when no pull runs. */
  readonly before: string;
}

/** Everything that a pull which is not sealed must give back. */
async function held(worker: TestWorker, live: number): Promise<string> {
  return JSON.stringify({
    available: await availableBytes(worker),
    commits: worker.residency.commitsInProgress,
    waiting: worker.residency.stats().commitsWaiting,
    shards: await shardsOf(worker),
    stagingSlots: staging.inUse,
    hasDriverObjects: simulator.live('*') > live + idleStreamObjects,
  });
}

const shardsOf = async (worker: TestWorker): Promise<string[]> =>
  (await get(worker, '/v1/shards')).json().shards.map(({ shard_id }: { shard_id: string }) => shard_id);

async function start(t: Test, ending: EndingSource): Promise<Scene> {
  const { source } = ending;
  ending.serveAll();
  const env = { WORKER_COMMIT_SLOTS: '2', WORKER_DRIVER_TIMEOUT_SECONDS: '1' };
  const worker = await startPuller(t, source, { env });
  // A worker keeps some driver objects of its first load.
  await startPull(worker, source, 'first');
  await endedPull(worker, 'first');
  for (const id of await shardsOf(worker)) await remove(worker, `/v1/shards/${id}`);
  const live = simulator.live('*');
  const plan = await post(worker, '/v1/plan', {
    model_ref: 'model',
    shard_layout: 'single',
    shards: lengths.map((bytes) => ({ bytes })),
    reserve: true,
    ttl_seconds: 3600,
  });
  return { worker, reservationId: plan.json().reservation.reservation_id, live, before: await held(worker, live) };
}

/** Runs a pull that ends at a step. Resolves with the pull when it has ended. */
async function pullTo(end: End, id: string, { worker, reservationId }: Scene, ending: EndingSource) {
  const reached = ending.stopAt(end);
  await startPull(worker, ending.source, id, { reservation_id: reservationId });
  const ended = endedPull(worker, id);
  await Promise.race([reached, ended]);
  if (end.cause === 'cancel') await remove(worker, `/v1/pulls/${id}`);
  return ended;
}

/** The driver calls of a pull that ends at a step, with those that free its memory. */
async function callsTo(end: End, id: string, scene: Scene, ending: EndingSource): Promise<number> {
  simulator.reset();
  await pullTo(end, id, scene, ending);
  return Math.max(1, simulator.calls('*'));
}

/** All cases, or a share of them that has each step, each manner and calls of all ages. `FAULTS_SEED` selects the share. */
function partOf(cases: readonly Case[]): Case[] {
  const count = scale(20, cases.length);
  const stride = cases.length / count;
  const first = Number(process.env.FAULTS_SEED ?? 0) % stride;
  const part = Array.from({ length: count }, (_, index) => cases[Math.floor(first + index * stride)]);
  return part.filter((one) => one !== undefined);
}

/** Whether a pull sealed every file, or gave everything back with a permitted error. Releases what it sealed. */
async function isWhole(pull: { state: string; problem: { code: string } | null }, scene: Scene): Promise<boolean> {
  const { worker, live, before } = scene;
  const shards = pull.state === 'sealed' ? await shardsOf(worker) : [];
  for (const id of shards) await remove(worker, `/v1/shards/${id}`);
  // The worker retries a failed release every second.
  await until(async () => worker.residency.isLost || (await held(worker, live)) === before, 'something is held');
  return pull.state === 'sealed' ? shards.length === lengths.length : permitted.includes(pull.problem?.code ?? '');
}

t.test(
  'whatever driver call fails while a pull ends at any step of any file, all is given back',
  onSimulator,
  async (t) => {
    const ending = await EndingSource.start(t);
    let scene = await start(t, ending);
    const cases: Case[] = [];
    for (const [index, end] of ends.entries()) {
      const calls = await callsTo(end, `probe-${index}`, scene, ending);
      t.equal(await held(scene.worker, scene.live), scene.before, `${end.cause}, ${end.path} ${end.step}`);
      for (let nth = 1; nth <= calls; nth++) for (const manner of mannerNames) cases.push({ end, manner, nth });
    }
    const part = partOf(cases);
    const outcomes = new Map<string, number>();
    let whole = 0;
    for (const [index, { end, manner, nth }] of part.entries()) {
      simulator.faults(manners[manner](nth));
      const pull = await pullTo(end, `p${index}`, scene, ending);
      simulator.reset();
      const outcome = pull.problem?.code ?? pull.state;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      const label = `${end.cause}, ${end.path} ${end.step}, call ${nth} ${manner}: ${outcome}`;
      const isGood = await isWhole(pull, scene).catch(async () =>
        t.fail(`${label}: ${await held(scene.worker, scene.live)}`),
      );
      if (isGood) whole++;
      else t.fail(label);
      if (!scene.worker.residency.isLost) continue;
      await scene.worker.stop();
      scene = await start(t, ending);
    }
    t.same(staging.problems, []);
    t.equal(whole, part.length);
    t.comment(`figure: pulls that ended while a driver call failed, all or nothing, ${whole} of ${cases.length} cases`);
    t.comment(`outcomes: ${JSON.stringify(Object.fromEntries(outcomes))}`);
  },
);
