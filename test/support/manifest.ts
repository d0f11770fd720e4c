import { readFileSync } from 'node:fs';

interface ListedShard {
  readonly shard_id: string;
  readonly [field: string]: unknown;
}

/** The shards that a manifest lists, read without code of the worker. */
export function shardsListedIn(path: string): ListedShard[] {
  const shards = new Map<string, ListedShard>();
  for (const line of readFileSync(path, 'utf8').split('\n').slice(1, -1)) {
    const { put, put_all, remove } = JSON.parse(line);
    for (const shard of put_all ?? []) shards.set(shard.shard_id, shard);
    if (put !== undefined) shards.set(put.shard_id, put);
    else if (remove !== undefined) shards.delete(remove);
  }
  return [...shards.values()];
}
