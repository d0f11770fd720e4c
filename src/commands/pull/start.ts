import type { Pull } from '../client/answers.js';
import { ProblemError } from '../client/client_error.js';
import { planSource } from '../client/plans.js';
import { listShards } from '../client/shards.js';
import type { WorkerClient } from '../client/worker_client.js';
import { UsageError } from '../command.js';
import { pullIdOf } from './names.js';
import type { PullAction, PullOptions } from './options.js';
import { hasEnded, type PullClient } from './pull_client.js';

/** Attempts whose ends the worker may remember. */
const maxAttempts = 1000;

type Start = Extract<PullAction, { kind: 'start' }>;

/** A pull of the worker, and the requests about it. */
export interface StartedPull {
  readonly pull: Pull;
  readonly requests: PullClient;
}

/**
 * Begins the pull of this command, joins the same one if it runs, or finds it sealed.
 * @throws UsageError, ProblemError, UnreachableError, PeerError
 */
export async function startPull(
  client: WorkerClient,
  action: Start,
  { expected }: Pick<PullOptions, 'expected'>,
  requestsFor: (pullId: string) => PullClient,
): Promise<StartedPull> {
  const digests = await digestsByPath(client, action, expected);
  const body = { ...action.body, ...(digests.size === 0 ? {} : { expected: Object.fromEntries(digests) }) };
  for (let attempt = 1; attempt <= maxAttempts; attempt++) {
    const requests = requestsFor(pullIdOf(body, attempt));
    const known = await existing(requests);
    if (known === undefined) return { pull: await requests.start(body), requests };
    if (!hasEnded(known) || (await isResident(client, known))) return { pull: known, requests };
  }
  throw new UsageError(`this pull was attempted ${maxAttempts} times: wait until the worker forgets the attempts`);
}

async function existing(requests: PullClient): Promise<Pull | undefined> {
  try {
    return await requests.get();
  } catch (error) {
    if (error instanceof ProblemError && error.problem.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

/** Whether the shards of a sealed pull are still there. */
async function isResident(client: WorkerClient, { state, files, model_ref: modelRef }: Pull): Promise<boolean> {
  if (state !== 'sealed') return false;
  const shards = await listShards(client, { model_ref: modelRef ?? undefined, state: 'sealed' });
  const sealed = new Set(shards.map((shard) => shard.shard_id));
  return files.every((file) => sealed.has(file.shard_id));
}

/** `--expect sha256:…` names no file, so the worker is asked which one it is. */
async function digestsByPath(client: WorkerClient, { source }: Start, expected: ReadonlyMap<string, string>) {
  const digest = expected.get('');
  if (digest === undefined) return expected;
  const { resolved } = await planSource(client, source);
  const [file, ...more] = resolved.files;
  if (file !== undefined && more.length === 0) return new Map([[file.path, digest]]);
  throw new UsageError(`the model has ${resolved.files.length} files: use --expect PATH=sha256:… for each`);
}
