import type { Actor } from '../audit/actor.js';
import { type ErrorCode, outcomeOf, WorkerError } from '../errors.js';
import { drainingError } from '../residency/state/lifecycle.js';
import { Pull, type PullSnapshot } from './pull.js';
import { type PullState, pullStates } from './pull_phase.js';
import type { PullRequest } from './pull_request.js';
import { type PullEnvironment, PullRun } from './pull_run.js';

/** Pulls that run at the same time. Others wait. */
const maxRunning = 4;

/** How long an ended pull is kept, and how many. The oldest are forgotten first. */
const endedRetentionMs = 60 * 60 * 1000;
const maxEnded = 64;

export interface PullQueueOptions extends PullEnvironment {
  /** Pulls that may wait. */
  readonly queueLimit: number;
}

interface EndedPull {
  readonly pull: Pull;
  /** On the monotonic clock: a step of the wall clock forgets nothing. */
  readonly endedMs: number;
}

export interface PullPage {
  readonly pulls: readonly PullSnapshot[];
  readonly nextCursor: string | null;
}

/** The outcomes of ended pulls, and what they fetched, for metrics. */
export interface PullStats {
  readonly byState: Readonly<Record<PullState, number>>;
  readonly fetchedBytes: number;
  readonly outcomes: ReadonlyMap<ErrorCode | 'ok', number>;
}

/**
 * The pulls of this worker: those that run, those that wait, and those that ended lately. They live in memory, so a restart
 * forgets them, with everything that they hold.
 */
export class PullQueue {
  readonly #options: PullQueueOptions;
  /** Pulls that have not ended, in the order of their requests. */
  readonly #active = new Map<string, PullRun>();
  readonly #waiting: PullRun[] = [];
  /** In the order of their ends. */
  readonly #ended = new Map<string, EndedPull>();
  readonly #outcomes = new Map<ErrorCode | 'ok', number>();
  #endedFetchedBytes = 0;
  #running = 0;
  #isDraining = false;

  constructor(options: PullQueueOptions) {
    this.#options = options;
  }

  /**
   * Starts a pull, or finds the same one, also after it has ended. Refuses in the order 400, 404/410, 409, 429, 503.
   * @throws WorkerError STARTING, INVALID_PARAMS, NOT_FOUND, RESERVATION_EXPIRED, PULL_CONFLICT, TOO_MANY_PULLS, DRAINING,
   * AUDIT_UNAVAILABLE
   */
  start(request: PullRequest, actor: Actor): Pull {
    const { groups, queueLimit } = this.#options;
    const pull = new Pull(request, actor.requestId);
    const existing = this.find(request.pullId);
    if (existing?.fingerprint === pull.fingerprint) return existing;
    groups.requirePlaces(request);
    if (existing !== undefined) {
      throw new WorkerError('PULL_CONFLICT', 'pull_id belongs to a pull with another request');
    }
    if (this.#running >= maxRunning && this.#waiting.length >= queueLimit) {
      throw new WorkerError('TOO_MANY_PULLS', 'Too many pulls are waiting');
    }
    if (this.#isDraining) throw drainingError();
    groups.requireOpen();
    const run = new PullRun(this.#options, pull, actor);
    this.#active.set(request.pullId, run);
    this.#waiting.push(run);
    run.signal.addEventListener('abort', () => this.#endWaiting(run), { once: true });
    this.#next();
    return pull;
  }

  find(pullId: string): Pull | undefined {
    this.#forgetOld();
    return this.#active.get(pullId)?.pull ?? this.#ended.get(pullId)?.pull;
  }

  /** @throws WorkerError NOT_FOUND */
  require(pullId: string): Pull {
    const pull = this.find(pullId);
    if (pull !== undefined) return pull;
    throw new WorkerError('NOT_FOUND', 'The pull does not exist');
  }

  /** Pulls in the order of their ids. `cursor` is the last id of the previous page. */
  page({ limit, cursor = '' }: { readonly limit: number; readonly cursor?: string | undefined }): PullPage {
    this.#forgetOld();
    const pulls = new Map(this.#all.map((pull) => [pull.request.pullId, pull]));
    const ids = [...pulls.keys()].filter((id) => id > cursor).sort();
    const page = ids.slice(0, limit);
    return {
      pulls: page.flatMap((id) => pulls.get(id)?.snapshot() ?? []),
      nextCursor: ids.length > limit ? (page.at(-1) ?? null) : null,
    };
  }

  /** Differs if a page would differ. */
  get version(): string {
    this.#forgetOld();
    return this.#all
      .map(({ request, createdAtMs, changes }) => `${request.pullId} ${createdAtMs} ${changes.revision}`)
      .join();
  }

  /**
   * Cancels a pull, and frees everything that it holds before its state is `cancelled`. A pull that has ended, or whose seal
   * has taken effect, stays as it is. @throws WorkerError NOT_FOUND
   */
  cancel(pullId: string): Pull {
    const pull = this.require(pullId);
    this.#active.get(pullId)?.stop(new WorkerError('PULL_CANCELLED', 'A client canceled the pull'));
    return pull;
  }

  /** The worker shuts down: ends all pulls with DRAINING, unless their seal has taken effect, and refuses new ones. */
  drain(): void {
    this.#isDraining = true;
    for (const run of [...this.#active.values()]) run.stop(drainingError());
  }

  get stats(): PullStats {
    this.#forgetOld();
    const pulls = this.#all;
    const byState = pullStates.map((state) => [state, pulls.filter((pull) => pull.state === state).length]);
    const activeBytes = [...this.#active.values()].map(({ pull }) => pull.snapshot().fetchedBytes);
    return {
      byState: Object.fromEntries(byState),
      fetchedBytes: activeBytes.reduce((sum, bytes) => sum + bytes, this.#endedFetchedBytes),
      outcomes: this.#outcomes,
    };
  }

  /** Those that have not ended, then those that have. */
  get #all(): Pull[] {
    return [...this.#active.values(), ...this.#ended.values()].map(({ pull }) => pull);
  }

  /** A pull that was stopped, or whose deadline is over, ends without a turn. */
  #endWaiting(run: PullRun): void {
    const place = this.#waiting.indexOf(run);
    if (place < 0) return;
    this.#waiting.splice(place, 1);
    void this.#run(run);
  }

  /** Begins waiting pulls while places are free. */
  #next(): void {
    while (this.#running < maxRunning) {
      const run = this.#waiting.shift();
      if (run === undefined) return;
      this.#running++;
      void this.#run(run).finally(() => {
        this.#running--;
        this.#next();
      });
    }
  }

  async #run(run: PullRun): Promise<void> {
    await run.run();
    const { pull } = run;
    const snapshot = pull.snapshot();
    this.#active.delete(snapshot.pullId);
    this.#ended.set(snapshot.pullId, { pull, endedMs: performance.now() });
    this.#forgetOld();
    const outcome = outcomeOf(snapshot.problem ?? undefined);
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
    this.#endedFetchedBytes += snapshot.fetchedBytes;
    this.#options.groups.recordPull(pull.summary(), run.actor);
  }

  #forgetOld(): void {
    const oldestMs = performance.now() - endedRetentionMs;
    for (const [pullId, { endedMs }] of this.#ended) {
      if (this.#ended.size <= maxEnded && endedMs > oldestMs) return;
      this.#ended.delete(pullId);
    }
  }
}
