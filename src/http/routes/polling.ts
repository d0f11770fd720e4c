import type { Residency } from '../../residency/residency.js';
import type { Tokens } from '../plugins/tokens.js';
import type { Connections } from '../server/connections.js';
import { type PollQuery, ReadyCache } from './ready_cache.js';
import { ReadyWaiters } from './ready_waiters.js';
import { RepeatedPolls } from './repeated_polls.js';

/** What all polls of `ready` share. */
export interface Polling {
  readonly cache: ReadyCache;
  readonly waiters: ReadyWaiters;
  readonly repeated: RepeatedPolls;
}

export function createPolling(residency: Residency, connections: Connections, tokens: Tokens): Polling {
  const cache = new ReadyCache(residency);
  // The other connections are for requests that do not wait.
  const limit = Math.ceil(connections.limit / 4);
  const current = (query: PollQuery) => (residency.isLeaving ? undefined : cache.current(query));
  return {
    cache,
    waiters: new ReadyWaiters({ residency, cache, limit }),
    repeated: new RepeatedPolls({ tokens, current }),
  };
}
