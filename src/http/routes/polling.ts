import type { IncomingMessage } from 'node:http';
import type { PullQueue } from '../../pulls/pull_queue.js';
import type { Residency } from '../../residency/residency.js';
import type { Tokens } from '../plugins/tokens.js';
import type { Connections } from '../server/connections.js';
import { OverviewCache } from './overview_cache.js';
import { OverviewWaiters } from './overview_waiters.js';
import { type PollQuery, ReadyCache } from './ready_cache.js';
import { ReadyWaiters } from './ready_waiters.js';
import { RepeatedPolls } from './repeated_polls.js';
import { TurnQueue } from './turn_queue.js';
import { WaitSlots } from './wait_slots.js';

/** What all polls of `ready` and of the overview share. */
export interface Polling {
  readonly cache: ReadyCache;
  /** The places of all long polls. */
  readonly slots: WaitSlots;
  /** The requests for long polls that came in together. */
  readonly starts: TurnQueue;
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

/** Makes what they share. One for each worker. */
export function createPolling({ residency, pulls, connections, tokens }: PollingOptions): Polling {
  const cache = new ReadyCache(residency);
  // For each of two roles. Half of the connections are for requests that do not wait.
  const slots = new WaitSlots(Math.ceil(connections.limit / 4));
  const current = (query: PollQuery) => (residency.isLeaving ? undefined : cache.current(query));
  const overviews = new OverviewCache(residency, pulls);
  return {
    cache,
    slots,
    starts: new TurnQueue(),
    waiters: new ReadyWaiters({ residency, cache }),
    overviews,
    overviewWaiters: new OverviewWaiters({ residency, overviews }),
    repeated: new RepeatedPolls({ tokens, current }),
  };
}

/** Whether a client may want to wait. A thousand such requests come in together after each change. */
export const isLongPoll = ({ method, url = '' }: Pick<IncomingMessage, 'method' | 'url'>): boolean =>
  method === 'GET' && url.includes('wait_seconds=');
