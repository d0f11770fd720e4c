import { flag, parseArguments } from './arguments.js';
import { answerOf, type Verification, Verification as VerificationSchema } from './client/answers.js';
import { connect, connectionHelp, connectionOptions } from './client/connection.js';
import { eachShard } from './client/each_shard.js';
import { printJson, printLine } from './client/output.js';
import { listShards, shardPath } from './client/shards.js';
import type { WorkerClient } from './client/worker_client.js';
import { type DocumentedCommand, UsageError } from './command.js';
import { bytesText } from './terminal/units.js';

const help = `Usage: vram-worker verify SHARD... [--json] [CONNECTION]
       vram-worker verify --all [--json] [CONNECTION]

Hash the bytes of shards in GPU memory now, and compare them with the sealed digests.

  --all      Verify every sealed or corrupt shard.
  --json     One JSON object per line, as POST /v1/shards/{shard_id}/verify returns it, or with the problem of a shard.

${connectionHelp}

Exit status: 0 if all shards are intact, 1 if any is not or cannot be verified, 69 if the worker cannot be reached,
75 if a later attempt can succeed, 77 if the worker refused the token.

Example:
  vram-worker verify --all
`;

/** The worker hashes the whole shard before it answers. */
const verifyMs = 3_600_000;

const verificationOf = answerOf(VerificationSchema, 'verification');

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArguments(args, { ...connectionOptions, all: flag, json: flag });
  if (values.all === positionals.length > 0) throw new UsageError('verify needs either the ids of shards or --all');
  const client = await connect(values, process.env);
  const shardIds = values.all ? await verifiable(client) : positionals;
  return eachShard(shardIds, {
    async act(shardId) {
      const { body } = await client.ask({ method: 'POST', path: shardPath(shardId, '/verify'), idleMs: verifyMs });
      const verification = verificationOf(body);
      if (values.json) printJson(verification);
      else printLine(resultText(verification));
      return verification.verified;
    },
    ...(values.json
      ? { onProblem: (shardId, problem) => printJson({ shard_id: shardId, verified: false, problem }) }
      : {}),
  });
}

async function verifiable(client: WorkerClient): Promise<string[]> {
  const shards = await listShards(client);
  return shards.filter(({ state }) => state === 'sealed' || state === 'corrupt').map((shard) => shard.shard_id);
}

function resultText({ shard_id: id, verified, reason, corrupt_ranges: ranges, ...rest }: Verification): string {
  if (verified) return `${id}  verified  ${bytesText(rest.bytes)} in ${Math.round(rest.duration_ms)} ms`;
  const places = ranges.map(({ offset, length }) => `${length} bytes at ${offset}`).join(', ');
  return `${id}  NOT VERIFIED  ${reason ?? 'unknown reason'}${places === '' ? '' : `: ${places}`}`;
}

export const verify: DocumentedCommand = { run, help };
