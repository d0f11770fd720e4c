import { renameSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { post, remove } from '../../support/requests.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { startWorker } from '../../support/worker.js';

const rounds = 15;
const madeAt = new Date('2026-01-01T00:00:00Z');

/** Commits a path while two files of the same length and time take turns there. Returns the tree digests of the shards. */
async function commitSwapped(t: Parameters<typeof temporaryDirectory>[0], files: readonly [Buffer, Buffer]) {
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
  const source = { type: 'file', path: 'model' };
  const digests: string[] = [];
  const codes = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    const fields = { shard_id: 'a', model_ref: 'model', source };
    const answer = await post(worker, '/v1/commit', fields);
    if (answer.statusCode === 201) digests.push(answer.json().shard.tree_digest);
    else codes.add(answer.json().code);
    if (answer.statusCode === 201) await remove(worker, '/v1/shards/a');
  }
  isOver = true;
  await swapping;
  return { digests, codes: [...codes] };
}

t.test('a file that takes the place of a checked one is not read in its place', async (t) => {
  const good = patternBytes(600_000);
  const bad = Buffer.concat([Buffer.from('GGUF'), Buffer.alloc(599_996)]);
  const { digests, codes } = await commitSwapped(t, [good, bad]);
  t.ok(digests.every((digest) => digest === referenceTreeDigest(good)));
  t.ok(
    codes.every((code) => ['FORMAT_INVALID', 'LENGTH_MISMATCH'].includes(code)),
    String(codes),
  );
});
