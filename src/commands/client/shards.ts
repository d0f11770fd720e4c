import { answerOf, type Shard, ShardList } from './answers.js';
import type { WorkerClient } from './worker_client.js';

/** The most that the worker returns in a page. */
const pageShards = 1000;

const shardListOf = answerOf(ShardList, 'list of shards');

/** All shards of the worker, page by page. @throws as `WorkerClient.ask` */
export async function listShards(
  client: WorkerClient,
  filter: { readonly model_ref?: string | undefined; readonly state?: string | undefined } = {},
): Promise<Shard[]> {
  const shards: Shard[] = [];
  let cursor: string | undefined;
  do {
    const query = { ...filter, limit: pageShards, cursor };
    const page = shardListOf((await client.ask({ method: 'GET', path: 'v1/shards', query })).body);
    shards.push(...page.shards);
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
  return shards;
}

/** The path of a shard, or of an action on it. */
export const shardPath = (shardId: string, action = ''): string => `v1/shards/${encodeURIComponent(shardId)}${action}`;
