import { flag, parseArguments, string, strings } from './arguments.js';
import type { Plan } from './client/answers.js';
import { connect, connectionHelp, connectionOptions } from './client/connection.js';
import { gpuOption } from './client/numbers.js';
import { printJson, printLine } from './client/output.js';
import { planSource } from './client/plans.js';
import { clientStatus } from './client/status.js';
import { type DocumentedCommand, UsageError } from './command.js';
import { sourceHelp } from './pull/help.js';
import { sourceOption } from './pull/options.js';
import { safeText } from './terminal/safe_text.js';
import { type Column, printTable } from './terminal/table.js';
import { bytesText } from './terminal/units.js';

const help = `Usage: vram-worker plan SOURCE [--name NAME] [--gpu N]... [--json] [CONNECTION]

Ask a running worker whether a model fits into its GPU memory, and show the files with their digests and formats. The
worker reads only the headers of the files.

${sourceHelp}

  --name NAME  The source in the worker's WORKER_SOURCES_FILE. Default: the only one that fits.
  --gpu N      The GPUs that may be used, such as --gpu 0,1. Default: all.
  --json       The answer of POST /v1/plan in one line.

${connectionHelp}

Exit status: 0 if the model fits, 1 if it does not or the worker refused, 69 if the worker cannot be reached, 75 if a
later attempt can succeed, 77 if the worker refused the token.

Example:
  vram-worker plan hf://ggml-org/tinygemma3-GGUF:Q8_0
`;

const columns: readonly Column[] = [
  { heading: 'FILE', minColumns: 12 },
  { heading: 'GPU', alignRight: true },
  { heading: 'SIZE', alignRight: true },
  { heading: 'FORMAT' },
  { heading: 'DIGEST', minColumns: 12 },
  { heading: 'FROM' },
];

async function run(args: readonly string[]): Promise<number> {
  const options = { ...connectionOptions, name: string, gpu: strings, json: flag };
  const { values, positionals } = parseArguments(args, options);
  const [text, ...more] = positionals;
  if (text === undefined || more.length > 0) throw new UsageError('plan takes one SOURCE');
  const source = sourceOption(text, values.name);
  const gpus = gpuOption(values.gpu);
  const client = await connect(values, process.env);
  const plan = await planSource(client, source, gpus === undefined ? {} : { gpu_devices: gpus });
  if (values.json) printJson(plan);
  else printPlan(plan);
  return plan.feasible ? clientStatus.done : clientStatus.failed;
}

function printPlan({ feasible, vram_required: required, shard_plan: shards, reason, resolved }: Plan): void {
  printLine(`${resolved.model_ref}${resolved.immutable ? '' : '  (may change)'}`);
  const rows = resolved.files.map((file, index) => [
    safeText(file.path),
    String(shards[index]?.gpu_device ?? '-'),
    bytesText(file.bytes),
    safeText(file.format ?? '-'),
    safeText(file.digest ?? '-'),
    safeText(file.digest_from ?? '-'),
  ]);
  printTable(columns, rows);
  if (resolved.skipped.length > 0) printLine(`not shards: ${resolved.skipped.join(', ')}`);
  if (feasible) printLine(`fits: ${bytesText(required)} of GPU memory`);
  else printLine(`does not fit: ${reason === null ? 'the worker gave no reason' : `${reason.code}: ${reason.detail}`}`);
}

export const plan: DocumentedCommand = { run, help };
