import { keep } from '../process/keep.js';
import { dropKept, listKept } from '../process/kept.js';
import { expectNone, flag, parseArguments, string } from './arguments.js';
import { type DocumentedCommand, UsageError } from './command.js';
import { keepHelp } from './help.js';

/** The exit statuses of `keep --drop`. */
const statuses = { dropped: 0, notFound: 1 } as const;

const defaultHoldSeconds = 3600;
const maxHoldSeconds = 2 ** 31 - 1;

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArguments(args, { 'hold-seconds': string, list: flag, drop: flag });
  const { 'hold-seconds': holdSeconds, list, drop } = values;
  if ([holdSeconds !== undefined, list, drop].filter(Boolean).length > 1)
    throw new UsageError('keep takes one of --hold-seconds, --list and --drop');
  expectNone(positionals.slice(drop ? 1 : 0));
  if (list) return printKept();
  if (drop) return printDropped(positionals[0]);
  await keep({ holdSeconds: holdSecondsOf(holdSeconds) });
  return 0;
}

/**
 * `vram-worker keep [--hold-seconds N]`: resolves when the keeper is up, which then runs until a signal stops it.
 * `--list` and `--drop [ALLOCATION_ID]` ask a running keeper.
 */
export const keepCommand: DocumentedCommand = { run, help: keepHelp };

function holdSecondsOf(text: string | undefined): number {
  if (text === undefined) return defaultHoldSeconds;
  const seconds = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (seconds >= 1 && seconds <= maxHoldSeconds) return seconds;
  throw new UsageError(`--hold-seconds must be an integer from 1 to ${maxHoldSeconds}`);
}

async function printKept(): Promise<number> {
  for (const { workerId, allocationId, gpuUuid, layout, unclaimedSeconds } of await listKept()) {
    const line = {
      worker_id: workerId,
      allocation_id: allocationId,
      gpu_uuid: gpuUuid,
      vram_bytes: layout.bytes,
      mapped_bytes: layout.mappedBytes,
      unclaimed_seconds: unclaimedSeconds,
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
  return 0;
}

async function printDropped(allocationId: string | undefined): Promise<number> {
  const count = await dropKept(allocationId);
  process.stdout.write(`dropped ${count} ${count === 1 ? 'allocation' : 'allocations'}\n`);
  return count === 0 && allocationId !== undefined ? statuses.notFound : statuses.dropped;
}
