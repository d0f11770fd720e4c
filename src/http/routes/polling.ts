import type { PullQueue } from '../../pulls/pull_queue.js';
import type { Residency } from '../../residency/residency.js';
import type { Tokens } from '../plugins/tokens.js';
import type { Connections } from '../server/connections.js';
import { OverviewCache } from './overview_cache.js';
import { OverviewWaiters } from './overview_waiters.js';
import { type PollQuery, ReadyCache } from './ready_cache.js';
import { ReadyWaiters } from './ready_waiters.js';
import { RepeatedPolls } from './repeated_polls.js';

/** What all polls of `ready` share. */
export interface Polling {
  readonly cache: ReadyCache;
  readonly waiters: ReadyWaiters;
  readonly repeated: RepeatedPolls;
  readonly overviews: OverviewCache;
  readonly overviewWaiters: OverviewWaiters;
}

export interface PollingOptions {
  readonly residency: Residency;
  readonly pulls: PullQueue;
  readonly connections: Connections;
  readonly tokens: Tokens;
}

export function createPolling({ residency, pulls, connections, tokens }: PollingOptions): Polling {
  const cache = new ReadyCache(residency);
  // The other connections are for requests that do not wait.
  const limit = Math.ceil(connections.limit / 4);
  const current = (query: PollQuery) => (residency.isLeaving ? undefined : cache.current(query));
  const overviews = new OverviewCache(residency, pulls);
  return {
    cache,
    waiters: new ReadyWaiters({ residency, cache, limit }),
    overviews,
    overviewWaiters: new OverviewWaiters({ residency, overviews, limit }),
    repeated: new RepeatedPolls({ tokens, current }),
  };
}
