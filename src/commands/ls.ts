import { expectNone, flag, parseArguments, string } from './arguments.js';
import type { Shard } from './client/answers.js';
import { connect, connectionHelp, connectionOptions } from './client/connection.js';
import { printJson } from './client/output.js';
import { listShards } from './client/shards.js';
import { clientStatus } from './client/status.js';
import type { DocumentedCommand } from './command.js';
import { safeText } from './terminal/safe_text.js';
import { type Column, printTable } from './terminal/table.js';
import { agoText, bytesText } from './terminal/units.js';

const help = `Usage: vram-worker ls [--model-ref REF] [--state STATE] [--json] [CONNECTION]

List the shards of a running worker: the model, GPU, size and state of each, and when it was last verified.

  --model-ref REF  Only the shards of this model.
  --state STATE    Only the shards in this state: receiving, sealing, sealed, corrupt, releasing.
  --json           One JSON object per line, with all fields of GET /v1/shards.

${connectionHelp}

Exit status: 0 if the worker answered, 1 if it refused, 69 if it cannot be reached, 77 if it refused the token.

Example:
  vram-worker ls --model-ref demo
`;

const columns: readonly Column[] = [
  { heading: 'SHARD', minColumns: 8 },
  { heading: 'MODEL', minColumns: 8 },
  { heading: 'GPU', alignRight: true },
  { heading: 'SIZE', alignRight: true },
  { heading: 'STATE' },
  { heading: 'VERIFIED' },
];

async function run(args: readonly string[]): Promise<number> {
  const options = { ...connectionOptions, 'model-ref': string, state: string, json: flag };
  const { values, positionals } = parseArguments(args, options);
  expectNone(positionals);
  const client = await connect(values, process.env);
  const shards = await listShards(client, { model_ref: values['model-ref'], state: values.state });
  if (values.json) shards.forEach(printJson);
  else printShards(shards);
  return clientStatus.done;
}

function printShards(shards: readonly Shard[]): void {
  const nowMs = Date.now();
  const rows = shards.map((shard) => [
    safeText(shard.shard_id),
    safeText(shard.model_ref),
    String(shard.gpu_device),
    bytesText(shard.vram_bytes),
    stateText(shard),
    shard.last_verified_at === null ? '-' : agoText(shard.last_verified_at, nowMs),
  ]);
  printTable(columns, rows);
}

/** The state; of a shard that is being received, also the share. */
function stateText({ state, received_bytes: received, vram_bytes: bytes }: Shard): string {
  return state === 'receiving' ? `receiving ${Math.floor((received / bytes) * 100)}%` : safeText(state);
}

export const ls: DocumentedCommand = { run, help };
