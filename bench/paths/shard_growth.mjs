import assert from 'node:assert/strict';
import { freshContent } from '../content.mjs';
import { cpuSeconds } from '../cpu_time.mjs';
import { residentBytes } from '../resident_set.mjs';
import { manyShardsSettings, RestartableWorker } from '../restartable_worker.mjs';
import { growthExponent } from '../statistics.mjs';

const shardBytes = 4096;
/** The answers of `ready` have an entry for each model. Each of these models has many replicas. */
const models = 10;
/** Requests per figure. The kernel counts CPU time in steps of 10 ms. */
const requests = 200;
/** Its cost is a fraction of a millisecond, so it is sent more often. */
const cheapPath = '/v1/ready?handles=false';

/** Work whose cost is that of all shards together. It must not grow faster than the number of shards. */
const total = ['commit', 'ready', 'rotation', 'shutdown', 'restart'];
/** Work whose cost must not depend on the number of shards. */
const flat = ['commit of one more', 'ready without handles', 'verify one', 'metrics'];

/**
 * CPU time of the worker by number of shards of 4 KiB, with an audit log and a manifest, and its memory. CPU time depends
 * less on other work of the machine than time does.
 * @param {import('../bench.mjs').Context} context
 */
export async function shardGrowth({ options, workspace, figures }) {
  const content = freshContent(workspace.models, 'shard-growth', shardBytes);
  const counts = [1, 100, 1000, 10_000].filter((count) => count <= options.manyShards);
  const seconds = Object.fromEntries([...total, ...flat].map((name) => [name, []]));
  const memory = [];
  for (const count of counts) {
    const measured = await measure(workspace, content, count);
    for (const [name, value] of Object.entries(measured.seconds)) seconds[name].push(value);
    memory.push(measured.memory);
  }
  figures.shards = { counts, seconds };
  // A constant part hides the growth of the smallest count.
  const from = counts.length > 2 ? 1 : 0;
  const series = (name) => counts.slice(from).map((count, index) => [count, seconds[name][from + index]]);
  const row = (name, required) => ({
    path: `${name === 'shutdown' ? 'Time' : 'CPU time'} by number of shards: ${name}, growth exponent`,
    better: 'lower',
    product: { unit: '', samples: [growthExponent(series(name))] },
    required,
    note: counts.map((count, index) => `${count}: ${(seconds[name][index] * 1000).toFixed(2)} ms`).join(', '),
  });
  return [
    ...total.map((name) => row(name, 1.1)),
    ...flat.map((name) => row(name, 0.15)),
    ...memoryRows(counts, memory),
  ];
}

async function measure(workspace, content, count) {
  const directory = workspace.make(`shard-growth-${count}`);
  const { key, env } = manyShardsSettings(workspace, directory);
  const warmUp = 300;
  const first = await RestartableWorker.start(directory, env);
  const cpu = async (worker, work) => {
    const before = cpuSeconds(worker.server.pid);
    await work();
    return cpuSeconds(worker.server.pid) - before;
  };
  await first.commitAll(warmUp, content.name, { models });
  for (let index = 0; index < warmUp; index++) await first.ask('DELETE', `/v1/shards/many-${index}`);
  const emptyBytes = residentBytes(first.server.pid);
  const seconds = { commit: await cpu(first, () => first.commitAll(count, content.name, { models })) };
  const fullBytes = residentBytes(first.server.pid);
  const each = async (method, path) => {
    const isList = path.startsWith('/v1/ready?nonce');
    const isCheap = path === cheapPath;
    const repeats = isList && count > 1000 ? requests / 10 : isCheap ? requests * 10 : requests;
    const used = await cpu(first, async () => {
      for (let index = 0; index < repeats; index++) assert.equal((await first.ask(method, path)).status, 200, path);
    });
    return used / repeats;
  };
  // Before the lists, which leave garbage to collect.
  seconds['ready without handles'] = await each('GET', cheapPath);
  seconds.ready = await each('GET', '/v1/ready?nonce=bench');
  seconds['verify one'] = await each('POST', '/v1/shards/many-0/verify');
  seconds.metrics = await each('GET', '/metrics');
  const more = await cpu(first, () => first.commitAll(count + requests, content.name, { from: count, models }));
  seconds['commit of one more'] = more / requests;
  for (let index = count; index < count + requests; index++) await first.ask('DELETE', `/v1/shards/many-${index}`);
  seconds.rotation = await cpu(first, () => first.rotate(key));
  seconds.shutdown = await shutdown(first);
  const second = await RestartableWorker.start(directory, env);
  await second.untilRestored(count);
  seconds.restart = cpuSeconds(second.server.pid);
  await second.stop();
  return { seconds, memory: { emptyBytes, fullBytes } };
}

/** A process that has ended has no CPU time to read, so this is the time until its exit. */
async function shutdown(worker) {
  const started = performance.now();
  await worker.stop();
  return (performance.now() - started) / 1000;
}

function memoryRows(counts, memory) {
  return counts.flatMap((count, index) => {
    if (count < 1000) return [];
    const { emptyBytes, fullBytes } = memory[index];
    return {
      path: `resident memory per shard of 4 KiB, ${count} shards`,
      better: 'lower',
      product: { unit: 'KiB', samples: [(fullBytes - emptyBytes) / count / 1024] },
      note: `${(fullBytes / 2 ** 20).toFixed(0)} MiB in all`,
    };
  });
}
