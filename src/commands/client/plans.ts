import type { SourceReference } from '../../sources/reference.js';
import { answerOf, Plan } from './answers.js';
import type { WorkerClient } from './worker_client.js';

/** The worker reads the headers of all files, of which an index can list many. */
const planMs = 600_000;

const planOf = answerOf(Plan, 'plan');

/** Asks whether a model fits, and what its files are. @throws as `WorkerClient.ask` */
export async function planSource(
  client: WorkerClient,
  source: SourceReference,
  fields: { readonly gpu_devices?: readonly number[] | undefined; readonly model_ref?: string | undefined } = {},
): Promise<Plan> {
  const json = { source, shard_layout: 'files', ...fields };
  return planOf((await client.ask({ method: 'POST', path: 'v1/plan', json, idleMs: planMs })).body);
}
