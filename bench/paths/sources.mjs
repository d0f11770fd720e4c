import assert from 'node:assert/strict';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startCuttingServer, startNginx } from '../baselines/sources.mjs';
import { requestHead } from '../connection.mjs';
import { freshContent } from '../content.mjs';
import { cpuSeconds } from '../cpu_time.mjs';
import { openLoop } from '../load.mjs';
import { residentBytes, watchPeak } from '../resident_set.mjs';
import { alternate } from '../rounds.mjs';
import { rowOf, skip, slowly, startWorker } from '../source_rows.mjs';
import { median, percentile } from '../statistics.mjs';

const mebibyte = 2 ** 20;
const gib = (bytes) => `${bytes / 2 ** 30} GiB`;
/** Commits and pulls by http, as connections, files and sizes vary. @param {import('../bench.mjs').Context} context */
export async function sources({ options, workspace, figures }) {
  if (!existsSync('/usr/sbin/nginx')) return skip('all rows', 'nginx is not installed');
  const nginx = await startNginx(workspace.make('nginx'), workspace.models);
  const cutting = await startCuttingServer(workspace.models);
  const measured = { options, workspace, nginx, cutting, figures, prefixes: [prefixesOf(nginx, cutting)] };
  const rows = [];
  const paths = [limited, cuts, bySize, manyFiles, memory, latency];
  for (const path of paths) rows.push(...(await path(measured)));
  for (const server of [nginx, cutting]) await server.stop();
  return rows;
}

const prefixesOf = (nginx, cutting) => ({
  name: 'web',
  type: 'http',
  prefixes: [`${nginx.url}/`, `${cutting.url}/`],
  addresses: ['127.0.0.0/8'],
  digest: 'allow',
});

async function limited(measured) {
  const { workspace, nginx, prefixes } = measured;
  const worker = await startWorker(workspace, prefixes);
  const url = `${nginx.url}/limited/model`;
  const row = await slowly(measured, worker, { name: 'http', source: { type: 'http', url }, urlOf: () => url });
  await worker.stop();
  return [row];
}

async function cuts(measured) {
  const { options, workspace, cutting, prefixes } = measured;
  const worker = await startWorker(workspace, prefixes);
  const fetched = [];
  const commit = async (folder) => {
    const sentBefore = await cutting.sentBytes();
    const source = { type: 'http', url: `${cutting.url}/${folder}/model` };
    const seconds = await worker.source('source', content, source);
    await worker.release('source');
    if (folder === 'cut') fetched.push(((await cutting.sentBytes()) - sentBefore) / options.sizeBytes);
    return seconds;
  };
  let content = freshContent(workspace.models, 'model', options.sizeBytes);
  await commit('whole'); // warm-up
  const make = () => {
    content = freshContent(workspace.models, 'model', options.sizeBytes);
  };
  const samples = await alternate(options.rounds, make, {
    product: () => commit('cut'),
    baseline: () => commit('whole'),
  });
  await worker.stop();
  return [
    rowOf(options, 'commit by http, cut every 64 MiB', samples, 'the same, not cut', 0.7),
    {
      better: 'lower',
      path: 'bytes that are fetched, of a file that is cut every 64 MiB',
      product: { unit: '× its size', samples: fetched },
      target: 1.01,
    },
  ];
}

/** The cost of a commit as the size doubles. */
async function bySize({ options, workspace, nginx, prefixes, figures }) {
  const worker = await startWorker(workspace, prefixes);
  const source = { type: 'http', url: `${nginx.url}/model` };
  const sizes = [];
  for (let bytes = 16 * mebibyte; bytes <= options.sizeBytes; bytes *= 2) sizes.push(bytes);
  const seconds = { 'flat + tree': [], 'flat_digest=false': [] };
  for (const bytes of sizes) {
    for (const name of Object.keys(seconds)) {
      const times = [];
      for (let round = 0; round < 3; round++) {
        const content = freshContent(workspace.models, 'model', bytes);
        times.push(await worker.source('source', content, source, name !== 'flat_digest=false'));
        await worker.release('source');
      }
      seconds[name].push(times.toSorted((a, b) => a - b)[1]);
    }
  }
  await worker.stop();
  figures.sourceSizes = { sizes, seconds };
  return [];
}

/** Whether this worker takes pulls. */
async function takesPulls(worker) {
  const { status } = await fetch(`${worker.url}/v1/pulls`, { headers: { authorization: worker.authorization } });
  return status === 200;
}

/** Writes a safetensors model of `count` files and its index, with a digest next to each file. */
function writeModel({ models }, name, count, fileBytes) {
  const weightMap = {};
  const total = String(count).padStart(5, '0');
  for (let index = 1; index <= count; index++) {
    const file = `${name}-${String(index).padStart(5, '0')}-of-${total}.safetensors`;
    const { digest } = freshContent(models, file, fileBytes, safetensorsHead(`t${index}`, fileBytes));
    writeFileSync(join(models, `${file}.sha256`), `${digest}  ${file}\n`);
    weightMap[`t${index}`] = file;
  }
  const index = `${name}.safetensors.index.json`;
  writeFileSync(join(models, index), JSON.stringify({ metadata: { total_size: 0 }, weight_map: weightMap }));
  const remove = () => {
    for (const file of [index, ...Object.values(weightMap)]) rmSync(join(models, file));
  };
  return { index, remove };
}

function safetensorsHead(tensor, fileBytes) {
  const headBytes = 4096;
  const dataBytes = fileBytes - headBytes;
  const json = JSON.stringify({ [tensor]: { dtype: 'U8', shape: [dataBytes], data_offsets: [0, dataBytes] } });
  const head = Buffer.alloc(headBytes, ' ');
  head.writeBigUInt64LE(BigInt(headBytes - 8));
  head.write(json, 8);
  return head;
}

let pulls = 0;
async function pull(worker, url) {
  const pull_id = `bench-${++pulls}`;
  const body = { pull_id, source: { type: 'http', url }, shard_id_prefix: pull_id, deadline_seconds: 600 };
  const headers = { authorization: worker.authorization, 'content-type': 'application/json' };
  const started = performance.now();
  const answer = await fetch(`${worker.url}/v1/pulls`, { method: 'POST', headers, body: JSON.stringify(body) });
  assert.equal(answer.status, 202, await answer.text());
  for (;;) {
    const state = JSON.parse(await worker.get(`/v1/pulls/${pull_id}?wait_seconds=1`));
    if (state.state === 'failed') throw new Error(JSON.stringify(state));
    if (state.state !== 'sealed') continue;
    const seconds = (performance.now() - started) / 1000;
    return { seconds, release: () => Promise.all(state.files.map((file) => worker.release(file.shard_id))) };
  }
}

async function manyFiles(measured) {
  const { options, workspace, nginx, prefixes, figures } = measured;
  const worker = await startWorker(workspace, prefixes);
  const path = `a pull of 8 files, ${gib(options.sizeBytes)}`;
  if (!(await takesPulls(worker))) {
    await worker.stop();
    return skip(path, 'this worker has no /v1/pulls');
  }
  const cores = [];
  const timed = (count) => async () => {
    const model = writeModel(workspace, 'pulled', count, options.sizeBytes / count);
    const before = cpuSeconds(worker.pid);
    const { seconds, release } = await pull(worker, `${nginx.url}/${model.index}`);
    cores.push({ count, used: (cpuSeconds(worker.pid) - before) / seconds });
    await release();
    model.remove();
    return seconds;
  };
  await timed(1)(); // warm-up
  const samples = await alternate(options.rounds, () => undefined, { product: timed(8), baseline: timed(1) });
  const counts = [1, 2, 4, 8, 16, 32, 64];
  const seconds = [];
  for (const count of counts) seconds.push(await timed(count)());
  figures.sourceFiles = { counts, seconds, bytes: options.sizeBytes };
  await worker.stop();
  const used = (count) => median(cores.filter((each) => each.count === count).map((each) => each.used)).toFixed(2);
  const note = `the worker used ${used(8)} cores, and ${used(1)} with one file`;
  return [{ ...rowOf(options, path, samples, 'a pull of one file of that size', 1), note }];
}

/** Runs `count` transfers of `sizeBytes` at once: pulls, or commits if the worker has no pulls. */
async function transferring(worker, { options, workspace, nginx }, count) {
  const hasPulls = await takesPulls(worker);
  const started = Array.from({ length: count }, (_, index) => {
    if (hasPulls) return writeModel(workspace, `pulled${index}`, 1, options.sizeBytes);
    return freshContent(workspace.models, `model${index}`, options.sizeBytes);
  });
  const transfer = async (content, index) => {
    if (hasPulls) return (await pull(worker, `${nginx.url}/${content.index}`)).release();
    await worker.source(`source${index}`, content, { type: 'http', url: `${nginx.url}/${content.name}` });
    return worker.release(`source${index}`);
  };
  return {
    name: hasPulls ? 'pull' : 'commit by http',
    run: () => Promise.all(started.map(transfer)),
    remove: () => {
      for (const each of started) each.remove ? each.remove() : rmSync(each.path);
    },
  };
}

async function memory(measured) {
  const worker = await startWorker(measured.workspace, measured.prefixes);
  const transfers = await transferring(worker, measured, 4);
  await sleep(500);
  const idleBytes = residentBytes(worker.pid);
  const stop = watchPeak(worker.pid);
  await transfers.run();
  const samples = [(stop() - idleBytes) / mebibyte];
  transfers.remove();
  await worker.stop();
  const path = `peak memory above idle, without the model: 4 × ${transfers.name} of ${gib(measured.options.sizeBytes)}`;
  const note = `idle ${Math.round(idleBytes / mebibyte)} MiB`;
  return [{ better: 'lower', path, product: { unit: 'MiB', samples }, target: 80, note }];
}

async function latency(measured) {
  const worker = await startWorker(measured.workspace, measured.prefixes);
  await worker.upload('resident', freshContent(measured.workspace.models, 'resident', 4096));
  const transfers = await transferring(worker, measured, 1);
  await transfers.run(); // warm-up
  const samples = [];
  for (let round = 0; round < 3; round++) {
    const request = requestHead('GET', '/v1/ready', { authorization: worker.authorization });
    const stop = new AbortController();
    const polling = openLoop(worker.url, request, 200, stop.signal);
    await sleep(50);
    await transfers.run();
    stop.abort();
    const { latenciesMs, errors } = await polling;
    assert.equal(errors, 0, 'ready failed during a transfer');
    samples.push(percentile(latenciesMs, 0.99));
  }
  transfers.remove();
  await worker.stop();
  const path = `GET /v1/ready 200/s during a ${transfers.name} of ${gib(measured.options.sizeBytes)}: p99`;
  return [{ better: 'lower', path, product: { unit: 'ms', samples }, target: 5 }];
}
