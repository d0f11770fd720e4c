import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freshContent } from '../content.mjs';
import { cpuSeconds } from '../cpu_time.mjs';
import { until } from '../deadline.mjs';
import { startServer } from '../processes.mjs';
import { alternate } from '../rounds.mjs';
import { keeperCommand, Worker } from '../worker.mjs';

const shards = 8;
const token = 'k'.repeat(64);

/**
 * From the start of a worker to a `ready` with all shards, after `kill -9` of the previous worker: shards whose memory a
 * keeper held, compared with shards that are loaded from their files. @param {import('../bench.mjs').Context} context
 */
export async function readoption({ options, workspace }) {
  const { sizeBytes, rounds } = options;
  const contents = Array.from({ length: shards }, (_, n) => freshContent(workspace.models, `kept-${n}`, sizeBytes));
  const { keeper, settings } = startKeeper(workspace);
  const usedSeconds = { kept: [], loaded: [] };
  const contestant = (name, settings) => async () => {
    const { seconds, cpu } = await restart(workspace, contents, settings);
    usedSeconds[name].push(cpu);
    return seconds;
  };
  const samples = await alternate(rounds, () => undefined, {
    kept: contestant('kept', settings),
    loaded: contestant('loaded', {}),
  });
  await keeper.stop();
  const path = `readopt ${(shards * sizeBytes) / 2 ** 30} GiB after kill -9: start of the worker to ready`;
  const row = (path, { kept, loaded }) => ({
    path,
    better: 'lower',
    product: { unit: 's', samples: kept },
    baseline: 'load the same files, without a keeper',
    baselineSeries: { unit: 's', samples: loaded },
    target: 0.5,
  });
  return [row(path, samples), row(`${path}, CPU time`, usedSeconds)];
}

function startKeeper(workspace) {
  const directory = workspace.make('keeper');
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, token, { mode: 0o600 });
  const settings = { WORKER_KEEPER_SOCKET: join(directory, 'keeper.sock'), WORKER_KEEPER_TOKEN_FILE: tokenFile };
  const { args, options } = keeperCommand(directory, settings);
  return { keeper: startServer(process.execPath, args, options), settings };
}

/** Commits the shards, kills the worker, and measures the next one. Releases the shards. */
async function restart(workspace, contents, settings) {
  const directory = workspace.make(Object.keys(settings).length > 0 ? 'kept' : 'loaded');
  const env = {
    ...settings,
    WORKER_ATTACH_SOCKET: join(directory, 'attach.sock'),
    WORKER_MANIFEST: join(directory, 'manifest'),
    WORKER_AUDIT_LOG: join(directory, 'audit.log'),
  };
  const first = await Worker.start(workspace, env, directory);
  for (const content of contents) await first.file(content.name, content, false);
  await first.kill();
  const started = performance.now();
  const second = await Worker.start(workspace, env, directory);
  await until('the readoption', async () => (await sealedShards(second)).length === contents.length, 10);
  const seconds = (performance.now() - started) / 1000;
  const cpu = cpuSeconds(second.pid);
  await check(second, contents, Object.keys(settings).length > 0);
  for (const { name } of contents) await second.release(name);
  await second.stop();
  return { seconds, cpu };
}

const sealedShards = async (worker) => JSON.parse(await worker.get('/v1/shards?state=sealed')).shards;

/** The same bytes are resident, and memory that a keeper held was not loaded. */
async function check(worker, contents, isKept) {
  const digests = Object.fromEntries((await sealedShards(worker)).map((shard) => [shard.shard_id, shard.tree_digest]));
  for (const { name, treeDigest } of contents) assert.equal(digests[name], `sha256:${treeDigest}`, name);
  const readopted = isKept ? contents.length : 0;
  assert.match(await worker.get('/metrics'), new RegExp(`^vram_readopted_shards_total ${readopted}$`, 'm'));
}
