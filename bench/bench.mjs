/** `npm run bench`: measures the product and its baselines in one run. README.md describes the method. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { findTools } from './baselines/tools.mjs';
import { within } from './deadline.mjs';
import { describeMachine } from './machine.mjs';
import { buildNative } from './native.mjs';
import { fail, readOptions } from './options.mjs';
import { attach } from './paths/attach.mjs';
import { concurrency } from './paths/concurrency.mjs';
import { file } from './paths/file.mjs';
import { growth } from './paths/growth.mjs';
import { http } from './paths/http.mjs';
import { latency } from './paths/latency.mjs';
import { manifest } from './paths/manifest.mjs';
import { manyShards } from './paths/many_shards.mjs';
import { memory } from './paths/memory.mjs';
import { oci } from './paths/oci.mjs';
import { polling } from './paths/polling.mjs';
import { readoption } from './paths/readoption.mjs';
import { ready } from './paths/ready.mjs';
import { s3 } from './paths/s3.mjs';
import { shardGrowth } from './paths/shard_growth.mjs';
import { small } from './paths/small.mjs';
import { sources } from './paths/sources.mjs';
import { start } from './paths/start.mjs';
import { upload } from './paths/upload.mjs';
import { verify } from './paths/verify.mjs';
import { writePlots } from './plots.mjs';
import { killServers } from './processes.mjs';
import { result, verdict } from './row.mjs';
import { summary, table } from './table.mjs';
import { createWorkspace } from './workspace.mjs';

/**
 * @typedef {object} Context the argument of every path
 * @property {import('./options.mjs').Options} options
 * @property {import('./workspace.mjs').Workspace} workspace
 * @property {ReturnType<typeof findTools>} tools
 * @property {import('./plots.mjs').Figures} figures
 */

const paths = {
  upload,
  file,
  verify,
  ready,
  polling,
  latency,
  memory,
  start,
  concurrency,
  small,
  growth,
  manifest,
  manyShards,
  shardGrowth,
  attach,
  readoption,
  http,
  sources,
  oci,
  s3,
};
/** A path that takes longer than this hangs. */
const pathSeconds = 3600;
const print = (text) => process.stdout.write(`${text}\n`);

const options = readOptions();
const chosen = options.only?.split(',') ?? Object.keys(paths);
for (const name of chosen)
  if (!(name in paths)) fail(`unknown path ${name}: use one of ${Object.keys(paths).join(', ')}`);
const tools = findTools();
if (tools.curl.missing !== undefined) fail(`${tools.curl.missing}: install it; every upload uses it`);
buildNative();

const machineAtStart = describeMachine();
/** @type {import('./plots.mjs').Figures} */
const figures = {};
const neededBytes = 2.2 * options.largeBytes;
const { cpu, cores, node, loadAverage } = machineAtStart;
print(`${cpu}, ${cores} cores, Node ${node}, load ${loadAverage.toFixed(2)}; simulated device`);
for (const [name, { version, missing }] of Object.entries(tools))
  print(`  ${name}: ${missing ? `not measured: ${missing}` : version}`);

const rows = [];
const failed = {};
for (const name of chosen) {
  const started = performance.now();
  const workspace = createWorkspace(neededBytes);
  try {
    const measured = await within(pathSeconds, name, paths[name]({ options, workspace, tools, figures }));
    rows.push(...measured);
    print(`\n${name}, ${((performance.now() - started) / 1000).toFixed(0)} s`);
    for (const row of measured) print(`  ${summary(row)}`);
  } catch (error) {
    failed[name] = error.message;
    print(`${name}: FAILED: ${error.stack}`);
    killServers();
  } finally {
    workspace.remove();
  }
}

print(`\n${table(rows)}\n`);
for (const { path, baseline, note } of rows) if (note) print(`${path}${baseline ? ` / ${baseline}` : ''}: ${note}`);
const report = {
  machineAtStart,
  machineAtEnd: describeMachine(),
  options,
  tools,
  rows: rows.map((row) => ({ ...row, result: result(row), verdict: verdict(row) })),
  failed,
  figures,
};
mkdirSync(dirname(options.out), { recursive: true });
writeFileSync(options.out, `${JSON.stringify(report, undefined, 2)}\n`);
print(`written: ${[options.out, ...(options.plots ? writePlots(figures) : [])].join(', ')}`);
process.exit(Object.keys(failed).length === 0 ? 0 : 1);
