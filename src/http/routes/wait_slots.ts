import type { FastifyReply, FastifyRequest } from 'fastify';
import { WorkerError } from '../../errors.js';
import { clientGone, onDisconnect } from '../server/client_gone.js';
import { networkOf } from '../server/network.js';
import { TurnQueue } from './turn_queue.js';

/** When a wait ends without a change. It then resolves. */
export interface WaitEnd {
  readonly maxMs: number;
  /** Aborts if another client needs the place, if this one has left, or at the shutdown. */
  readonly signal: AbortSignal;
}

/** The place of a long poll in progress. */
export interface WaitSlot {
  readonly signal: AbortSignal;
  /** Aborts the signal. */
  readonly end: () => void;
  /** Must be called when the wait has ended. */
  readonly release: () => void;
}

/** The waits of all clients with one role, by network. */
type Share = Map<string, Set<AbortController>>;

/**
 * The places of long polls. Each role has as many, so that clients with the read-only token cannot take those of operators.
 * If a role has no place left, the network with most waits gives one up to a network with fewer. A connection has one request
 * at a time, and thus one wait.
 */
export class WaitSlots {
  readonly #perRole: number;
  readonly #instead: string;
  readonly #ends = new TurnQueue();
  readonly #shares = new Map<FastifyRequest['role'], Share>();
  #count = 0;
  #isClosed = false;

  /** `instead`: what a client should do that gets no place. */
  constructor(perRole: number, instead = 'poll without wait_seconds') {
    this.#perRole = perRole;
    this.#instead = instead;
  }

  /** Waits in progress. */
  get count(): number {
    return this.#count;
  }

  /** @throws WorkerError RATE_LIMITED */
  take({ role, ip }: Pick<FastifyRequest, 'role' | 'ip'>): WaitSlot {
    const share: Share = this.#shares.get(role) ?? new Map();
    this.#shares.set(role, share);
    const network = networkOf(ip);
    this.#makeRoom(share, network);
    const wait = new AbortController();
    share.set(network, (share.get(network) ?? new Set()).add(wait));
    this.#count++;
    if (this.#isClosed) wait.abort();
    return { signal: wait.signal, end: () => wait.abort(), release: () => this.#remove(share, network, wait) };
  }

  /**
   * Runs a wait in a place, for `seconds` at most. `request.waitedMs` keeps its duration out of the latency metrics. Waits that
   * end together return in turns, so that the worker writes their responses, and those of other clients, in between.
   * @throws WorkerError RATE_LIMITED, LENGTH_MISMATCH if the client has left, and the errors of the wait
   */
  async hold<T>(
    request: FastifyRequest,
    reply: FastifyReply,
    seconds: number,
    wait: (end: WaitEnd) => Promise<T>,
  ): Promise<T> {
    const { signal, end, release } = this.take(request);
    onDisconnect(reply, end);
    const startedMs = performance.now();
    const waited = wait({ maxMs: seconds * 1000, signal });
    await Promise.allSettled([waited]);
    release();
    request.waitedMs = performance.now() - startedMs;
    await this.#ends.turn();
    if (reply.raw.destroyed) throw clientGone();
    return waited;
  }

  /** Ends all waits. Later ones end at once. */
  close(): void {
    this.#isClosed = true;
    for (const share of this.#shares.values())
      for (const waits of share.values()) for (const wait of waits) wait.abort();
  }

  #makeRoom(share: Share, network: string): void {
    let total = 0;
    let [greediest, most] = ['', 0];
    for (const [other, { size }] of share) {
      total += size;
      if (size > most) [greediest, most] = [other, size];
    }
    if (total < this.#perRole) return;
    const [longest] = share.get(greediest) ?? [];
    // Two networks with as many waits must not take turns.
    if (longest === undefined || (share.get(network)?.size ?? 0) + 1 >= most) {
      const detail = `${this.#perRole} requests wait for a change already: ${this.#instead}`;
      throw new WorkerError('RATE_LIMITED', detail, { retryAfterMs: 5000 });
    }
    this.#remove(share, greediest, longest);
    longest.abort();
  }

  #remove(share: Share, network: string, wait: AbortController): void {
    const waits = share.get(network);
    if (waits?.delete(wait) !== true) return;
    this.#count--;
    if (waits.size === 0) share.delete(network);
  }
}
