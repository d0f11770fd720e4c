import { flag, parseArguments } from './arguments.js';
import { connect, connectionHelp, connectionOptions } from './client/connection.js';
import { eachShard } from './client/each_shard.js';
import { printJson, printLine } from './client/output.js';
import { shardPath } from './client/shards.js';
import { type DocumentedCommand, UsageError } from './command.js';

const help = `Usage: vram-worker rm SHARD... [--force] [--json] [CONNECTION]

Release shards of a running worker: wipe their bytes, and free their GPU memory.

  --force    Release a shard that other processes have attached. Its memory is wiped when the last of them ends.
  --json     One JSON object per line: shard_id, released, and the problem of a shard that was not released.

${connectionHelp}

Exit status: 0 if all shards were released, 1 if any was not, 69 if the worker cannot be reached, 75 if a later attempt
can succeed, 77 if the worker refused the token.

Example:
  vram-worker rm demo-0 demo-1
`;

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArguments(args, { ...connectionOptions, force: flag, json: flag });
  if (positionals.length === 0) throw new UsageError('rm needs the ids of shards');
  const client = await connect(values, process.env);
  const query = values.force ? { force: 'true' } : {};
  return eachShard(positionals, {
    async act(shardId) {
      const { status } = await client.ask({ method: 'DELETE', path: shardPath(shardId), query, idleMs: releaseMs });
      if (values.json) printJson({ shard_id: shardId, released: true });
      else printLine(`${shardId}  released${status === 202 ? '; other processes still have its memory' : ''}`);
      return true;
    },
    ...(values.json
      ? { onProblem: (shardId, problem) => printJson({ shard_id: shardId, released: false, problem }) }
      : {}),
  });
}

/** A release waits for a verification, and wipes the memory. */
const releaseMs = 600_000;

export const rm: DocumentedCommand = { run, help };
