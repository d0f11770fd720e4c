import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { readChain } from '../../support/audit.js';
import { patternBytes } from '../../support/bytes.js';
import { FailingFiles } from '../../support/failing_files.js';
import { temporaryDirectory } from '../../support/process.js';
import { get, post, remove, upload } from '../../support/requests.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const bytes = patternBytes(5000);
const fromFile = (worker: TestWorker, shardId: string) =>
  post(worker, '/v1/commit', { shard_id: shardId, model_ref: 'm', source: { type: 'file', path: 'model' } });

interface Mutation {
  /** What must be on the log where it took effect. */
  readonly event: string;
  readonly send: (worker: TestWorker) => Promise<LightMyRequestResponse>;
  /** Makes its next turn possible. */
  readonly undo: (worker: TestWorker) => Promise<unknown>;
}

const mutations: Readonly<Record<string, Mutation>> = {
  upload: {
    event: 'VramSealed',
    send: (worker) => upload(worker, 'b', bytes),
    undo: (worker) => remove(worker, '/v1/shards/b'),
  },
  'commit by reference': {
    event: 'VramSealed',
    send: (worker) => fromFile(worker, 'b'),
    undo: (worker) => remove(worker, '/v1/shards/b'),
  },
  verify: { event: 'SealVerified', send: (worker) => post(worker, '/v1/shards/a/verify'), undo: async () => undefined },
  release: {
    event: 'VramDeallocated',
    send: (worker) => remove(worker, '/v1/shards/a'),
    undo: (worker) => fromFile(worker, 'a'),
  },
};

/** All that a mutation may change, for this process and for the next one. */
async function stateOf(worker: TestWorker, manifest: string): Promise<object> {
  const [shards, devices] = [await get(worker, '/v1/shards'), await get(worker, '/v1/devices')];
  return { shards: shards.json(), devices: devices.json(), listed: JSON.parse(readFileSync(manifest, 'utf8')).shards };
}

/** A worker with a log, a manifest and a shard `a`, in a directory whose files can be made to fail. */
async function begin(t: Test) {
  const [directory, models] = [temporaryDirectory(t), temporaryDirectory(t)];
  writeFileSync(join(models, 'model'), bytes);
  const [log, manifest] = [join(directory, 'audit.log'), join(directory, 'manifest')];
  const files = FailingFiles.below(t, directory);
  const env = { WORKER_MODEL_DIR: models, WORKER_AUDIT_LOG: log, WORKER_MANIFEST: manifest };
  const worker = await startWorker(t, { env });
  await fromFile(worker, 'a');
  return { files, log, manifest, worker };
}

for (const [name, { event, send, undo }] of Object.entries(mutations)) {
  t.test(
    `${name}: whichever call of the file system fails, it is refused and not done, or done and on the log`,
    async (t) => {
      const { files, log, manifest, worker } = await begin(t);
      files.calls();
      await send(worker);
      await undo(worker);
      const count = files.calls();
      let refused = 0;
      for (const forGood of [false, true]) {
        for (let nth = 1; nth <= count; nth += forGood ? 3 : 1) {
          const what = `call ${nth}${forGood ? ' and all after it' : ''}`;
          const before = await stateOf(worker, manifest);
          files.fail(nth, forGood);
          const answer = await send(worker);
          files.heal();
          const { statusCode } = answer;
          const told = () => {
            const mine = readChain(log).filter((entry) => entry.request_id === answer.headers['x-request-id']);
            return mine.map((entry) => entry.event);
          };
          if (statusCode === 503) {
            refused++;
            t.match(answer.json(), { code: 'AUDIT_UNAVAILABLE' }, what);
            const { listed: _, ...now } = Object(await stateOf(worker, manifest));
            t.match(before, now, `${what}: refused, and nothing has changed`);
            // Nobody asks: it is mended by the worker itself.
            await until(async () => isDeepStrictEqual(await stateOf(worker, manifest), before));
            t.pass(`${what}: nor for the next process`);
            await until(async () => (await get(worker, '/readyz')).statusCode === 200);
            // An entry that could neither be synced nor taken back stays, of something that did not happen.
            if (!forGood && event === 'VramSealed')
              t.match(told().at(-1) ?? 'VramDeallocated', 'VramDeallocated', what);
            else if (!forGood) t.same(told(), [], `${what}: and nothing of it is on the log`);
          } else {
            t.ok([200, 201, 204].includes(statusCode), `${what}: ${statusCode} ${answer.body}`);
            t.ok(told().includes(event), `${what}: it is on the log`);
            await until(async () => (await get(worker, '/readyz')).statusCode === 200);
            await undo(worker);
          }
        }
      }
      t.ok(refused > 5, `${refused} were refused`);
    },
  );
}
