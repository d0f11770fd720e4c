/** `npm run bench`: the product and its yardsticks in one run. See README.md beside this file. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { endServers } from './child.mjs';
import { describeMachine } from './machine.mjs';
import { buildNative } from './native.mjs';
import { fail, readOptions } from './options.mjs';
import { concurrency } from './paths/concurrency.mjs';
import { file } from './paths/file.mjs';
import { growth } from './paths/growth.mjs';
import { latency } from './paths/latency.mjs';
import { memory } from './paths/memory.mjs';
import { ready } from './paths/ready.mjs';
import { small } from './paths/small.mjs';
import { start } from './paths/start.mjs';
import { upload } from './paths/upload.mjs';
import { verify } from './paths/verify.mjs';
import { writePlots } from './plots.mjs';
import { result, verdict } from './row.mjs';
import { summary, table } from './table.mjs';
import { createWorkspace } from './workspace.mjs';
import { findTools } from './yardsticks/tools.mjs';

/**
 * @typedef {object} Context what every path gets
 * @property {import('./options.mjs').Options} options
 * @property {import('./workspace.mjs').Workspace} workspace
 * @property {ReturnType<typeof findTools>} tools
 * @property {import('./plots.mjs').Figures} figures
 */

const paths = { upload, file, verify, ready, latency, memory, start, concurrency, small, growth };
const say = (text) => process.stdout.write(`${text}\n`);

const options = readOptions();
const chosen = options.only?.split(',') ?? Object.keys(paths);
for (const name of chosen) if (!(name in paths)) fail(`${name} is none of ${Object.keys(paths).join(', ')}`);
const tools = findTools();
if (tools.curl.missing !== undefined) fail(`${tools.curl.missing}: every upload goes through it`);
buildNative();

const begun = describeMachine();
/** @type {import('./plots.mjs').Figures} */
const figures = {};
const neededBytes = 2.2 * Math.max(options.largeBytes, options.growthBytes);
say(`${begun.cpu}, ${begun.cores} cores, Node ${begun.node}, load ${begun.loadAverage.toFixed(2)}; simulated device`);
for (const [name, { version, missing }] of Object.entries(tools))
  say(`  ${name}: ${missing ? `MISSING: ${missing}` : version}`);

const rows = [];
const failed = {};
for (const name of chosen) {
  const started = performance.now();
  const workspace = createWorkspace(neededBytes);
  try {
    const measured = await paths[name]({ options, workspace, tools, figures });
    rows.push(...measured);
    say(`\n${name}, ${((performance.now() - started) / 1000).toFixed(0)} s`);
    for (const row of measured) say(`  ${summary(row)}`);
  } catch (error) {
    failed[name] = error.message;
    say(`${name}: FAILED: ${error.stack}`);
    endServers();
  } finally {
    workspace.remove();
  }
}

say(`\n${table(rows)}\n`);
for (const { path, yardstick, note } of rows) if (note) say(`${path}${yardstick ? ` / ${yardstick}` : ''}: ${note}`);
const report = {
  begun,
  ended: describeMachine(),
  options,
  tools,
  rows: rows.map((row) => ({ ...row, result: result(row), verdict: verdict(row) })),
  failed,
  figures,
};
mkdirSync(dirname(options.out), { recursive: true });
writeFileSync(options.out, `${JSON.stringify(report, undefined, 2)}\n`);
say(`written: ${[options.out, ...(options.plots ? writePlots(figures) : [])].join(', ')}`);
process.exit(Object.keys(failed).length === 0 ? 0 : 1);
