import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { shardsListedIn } from '../support/manifest.js';
import { startProcess, temporaryDirectory, type WorkerProcess } from '../support/process.js';
import { modelOfSizes } from '../support/pull_source.js';
import { until } from '../support/until.js';
import { scale } from './scale.js';

const kills = scale(8, 100);
const files = modelOfSizes([700_000, 5000, 1_300_000, 9000, 12_000]);
const count = files.size - 1;

async function ask(worker: WorkerProcess, method: string, path: string, content?: object) {
  const answer = await fetch(worker.url + path, {
    method,
    headers: { authorization: worker.authorization, 'content-type': 'application/json' },
    ...(content === undefined ? {} : { body: JSON.stringify(content) }),
  });
  return JSON.parse(await answer.text());
}

t.test('a worker that is killed while it seals a pull restores all its shards, or none', async (t) => {
  const directory = temporaryDirectory(t);
  const models = join(directory, 'models');
  mkdirSync(models);
  for (const [name, bytes] of files) writeFileSync(join(models, name), bytes);
  const [log, manifest] = [join(directory, 'audit.log'), join(directory, 'manifest')];
  const env = { WORKER_MODEL_DIR: models, WORKER_AUDIT_LOG: log, WORKER_MANIFEST: manifest };
  const outcomes = new Map<number, number>();
  for (let kill = 0; kill < kills; kill++) {
    const worker = await startProcess(t, directory, env);
    const from = existsSync(log) ? readFileSync(log).length : 0;
    await ask(worker, 'POST', '/v1/pulls', {
      pull_id: `p${kill}`,
      source: { type: 'file', path: 'model.safetensors.index.json' },
      model_ref: `m${kill}`,
      shard_id_prefix: `p${kill}`,
      digest: 'allow',
    });
    await until(() => readFileSync(log).subarray(from).includes('"event":"VramSealed"'), 'no seal');
    if (kill % 2 === 1) await new Promise((resolve) => setTimeout(resolve, kill));
    worker.child.kill('SIGKILL');
    await worker.exited;
    const listed = shardsListedIn(manifest).filter(({ model_ref }) => model_ref === `m${kill}`).length;
    t.ok(listed === 0 || listed === count, `${listed} of ${count} shards are listed`);
    outcomes.set(listed, (outcomes.get(listed) ?? 0) + 1);
    const next = await startProcess(t, directory, env);
    t.match(await ask(next, 'GET', `/v1/pulls/p${kill}`), { status: 404 }, 'a restart forgets the pull');
    await until(async () => (await ask(next, 'GET', '/v1/ready')).state === 'ready', 'the restore does not end');
    const { shards } = await ask(next, 'GET', `/v1/shards?model_ref=m${kill}`);
    t.equal(shards.length, listed);
    for (const { shard_id, state } of shards) {
      t.equal(state, 'sealed');
      await fetch(`${next.url}/v1/shards/${shard_id}`, {
        method: 'DELETE',
        headers: { authorization: next.authorization },
      });
    }
    next.child.kill('SIGTERM');
    await next.exited;
  }
  t.comment(`figure: pulls killed during their seal, all shards or none, ${kills} of ${kills}`);
  t.comment(`listed after the kill: ${JSON.stringify(Object.fromEntries(outcomes))}`);
});
