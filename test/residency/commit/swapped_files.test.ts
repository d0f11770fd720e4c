import { renameSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { endedPull, tensorFile } from '../../support/pull_source.js';
import { get, post, remove } from '../../support/requests.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { startWorker, type TestWorker } from '../../support/worker.js';

const madeAt = new Date('2026-01-01T00:00:00Z');

/** The tree digest of the shard that an attempt sealed, or the code of its refusal. It leaves no shard. */
type Attempt = (worker: TestWorker, round: number) => Promise<{ readonly digest: string } | { readonly code: string }>;

/** Makes attempts while two files of the same length and time take turns at the path `model`. */
async function whileSwapped(t: Test, files: readonly [Buffer, Buffer], rounds: number, attempt: Attempt) {
  const directory = temporaryDirectory(t);
  const at = (name: string) => join(directory, name);
  for (const [index, bytes] of files.entries()) {
    writeFileSync(at(String(index)), bytes);
    utimesSync(at(String(index)), madeAt, madeAt);
  }
  const turnTo = (index: number) => {
    symlinkSync(String(index), at('next'));
    renameSync(at('next'), at('model'));
  };
  turnTo(0);
  const worker = await startWorker(t, { env: { WORKER_MODEL_DIR: directory } });
  let isOver = false;
  const swapping = (async () => {
    for (let turn = 1; !isOver; turn++, await nextTurn()) turnTo(turn % 2);
  })();
  const digests = new Set<string>();
  const codes = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    const outcome = await attempt(worker, round);
    if ('digest' in outcome) digests.add(outcome.digest);
    else codes.add(outcome.code);
  }
  isOver = true;
  await swapping;
  return { digests: [...digests], codes: [...codes] };
}

const source = { type: 'file', path: 'model' };
const refusals = ['FORMAT_INVALID', 'LENGTH_MISMATCH'];

t.test('a file that takes the place of a checked one is not read in its place', async (t) => {
  const good = patternBytes(600_000);
  const bad = Buffer.concat([Buffer.from('GGUF'), Buffer.alloc(599_996)]);
  const { digests, codes } = await whileSwapped(t, [good, bad], 15, async (worker) => {
    const answer = await post(worker, '/v1/commit', { shard_id: 'a', model_ref: 'model', source });
    if (answer.statusCode !== 201) return answer.json();
    await remove(worker, '/v1/shards/a');
    return { digest: answer.json().shard.tree_digest };
  });
  t.ok(digests.every((digest) => digest === referenceTreeDigest(good)));
  t.ok(
    codes.every((code) => refusals.includes(code)),
    String(codes),
  );
});

t.test('nor in a pull, whose files are opened several times', async (t) => {
  const good = tensorFile('weight', 600_000);
  const bad = Buffer.alloc(good.length);
  const { digests, codes } = await whileSwapped(t, [good, bad], 4, async (worker, round) => {
    const pullId = `pull-${round}`;
    const fields = { source, pull_id: pullId, shard_id_prefix: pullId, model_ref: 'model', digest: 'allow' };
    t.equal((await post(worker, '/v1/pulls', fields)).statusCode, 202);
    const { state, problem } = await endedPull(worker, pullId);
    if (state !== 'sealed') return problem;
    const digest = (await get(worker, `/v1/shards/${pullId}-0`)).json().tree_digest;
    await remove(worker, `/v1/shards/${pullId}-0`);
    return { digest };
  });
  t.ok(
    digests.every((digest) => digest === referenceTreeDigest(good)),
    'only the checked file is sealed',
  );
  t.ok(
    codes.every((code) => refusals.includes(code)),
    String(codes),
  );
});
