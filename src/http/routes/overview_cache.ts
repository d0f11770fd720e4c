import { createHash } from 'node:crypto';
import { packageVersion } from '../../config/version.js';
import type { PullQueue } from '../../pulls/pull_queue.js';
import type { Residency } from '../../residency/residency.js';
import type { WorkerPhase } from '../../residency/state/lifecycle.js';
import { encodeInSlices } from '../../residency/status/json_pieces.js';
import { Sequence } from '../../runtime/sequence.js';
import { overviewJson, overviewStart } from '../serializers/overview.js';
import type { SharedBody } from './shared_body.js';

/** How long an overview is kept while only transfers make progress, and how often changes end long polls. */
const progressPeriodMs = 1000;

/** A serialized overview. All clients share its bytes, without the moment. */
interface Prepared {
  readonly tag: string;
  readonly state: string;
  readonly bytes: Buffer;
  readonly takenAtMs: number;
  /** On the monotonic clock. */
  readonly takenMs: number;
  readonly phase: WorkerPhase;
  readonly isReady: boolean;
}

/** The version of an overview. */
interface Version {
  readonly tag: string;
  /** Without the progress of transfers. */
  readonly state: string;
}

export interface OverviewResponse {
  readonly tag: string;
  readonly body: SharedBody;
}

/**
 * Prepares the overview, at most once for each change of the worker, and once a second for the progress of transfers. All
 * requests that come in before it is taken share it.
 */
export class OverviewCache {
  readonly #residency: Residency;
  readonly #pulls: PullQueue;
  readonly #process: { readonly version: string; readonly startedAtMs: number };
  readonly #builds = new Sequence();
  #prepared: Prepared | undefined;
  /** A build that has not looked at the worker yet. */
  #next: Promise<Prepared> | undefined;

  constructor(residency: Residency, pulls: PullQueue) {
    this.#residency = residency;
    this.#pulls = pulls;
    this.#process = { version: packageVersion(), startedAtMs: Math.round(performance.timeOrigin) };
  }

  /** The current overview. */
  async get(): Promise<OverviewResponse> {
    const version = this.#version();
    const current = this.#current(version);
    if (current === undefined) return responseOf(await this.#build());
    // The worker is still in the same state.
    return responseOf(current, current.tag === version.tag ? Date.now() : current.takenAtMs);
  }

  /** The tag of the current overview. Serializes nothing. */
  get tag(): string {
    const version = this.#version();
    return this.#current(version)?.tag ?? version.tag;
  }

  /**
   * Whether a client that has the overview with the tag `seen` must get the current one now. Changes less than a period after
   * that overview wait for the rest of the period, unless `ready` or the state of the worker changed.
   */
  isOutdated(seen: string): boolean {
    return this.firstCurrent([seen]) === undefined;
  }

  /** The first of these tags whose overview is not outdated. Looks at the worker once, because a header can have thousands. */
  firstCurrent(tags: readonly string[]): string | undefined {
    const { tag } = this;
    const prepared = this.#prepared;
    const isKept = prepared !== undefined && !this.#isUrgent(prepared) && isRecent(prepared);
    return tags.find((seen) => seen === tag || (isKept && seen === prepared.tag));
  }

  #isUrgent({ phase, isReady }: Prepared): boolean {
    return phase !== this.#residency.phase || isReady !== this.#residency.couldBeReady(undefined);
  }

  #current({ tag, state }: Version): Prepared | undefined {
    const prepared = this.#prepared;
    if (prepared === undefined) return undefined;
    return prepared.tag === tag || (prepared.state === state && isRecent(prepared)) ? prepared : undefined;
  }

  #build(): Promise<Prepared> {
    this.#next ??= this.#builds.run(async () => {
      this.#next = undefined;
      // An earlier build may have seen what these clients ask for.
      return this.#current(this.#version()) ?? (await this.#prepare());
    });
    return this.#next;
  }

  async #prepare(): Promise<Prepared> {
    const overview = this.#residency.overview();
    const { pulls } = this.#pulls.page({ limit: Number.POSITIVE_INFINITY });
    const { tag, state } = this.#version();
    const [takenAtMs, takenMs] = [Date.now(), performance.now()];
    const { driver, simulated, phase } = this.#residency;
    const isReady = this.#residency.couldBeReady(undefined);
    const bytes = await encodeInSlices(overviewJson(overview, pulls, { driver, simulated, ...this.#process }));
    this.#prepared = { tag, state, bytes, takenAtMs, takenMs, phase, isReady };
    return this.#prepared;
  }

  #version(): Version {
    const { state, progress } = this.#residency.overviewVersion();
    const { bootId } = this.#residency.identity;
    const hash = createHash('sha256').update(JSON.stringify([bootId, state, progress, this.#pulls.version]));
    return { state, tag: `"${hash.digest('base64url').slice(0, 22)}"` };
  }
}

const isRecent = ({ takenMs }: Prepared): boolean => performance.now() < takenMs + progressPeriodMs;

const responseOf = ({ tag, bytes, takenAtMs }: Prepared, momentMs = takenAtMs): OverviewResponse => ({
  tag,
  body: { start: Buffer.from(overviewStart(momentMs)), shared: bytes },
});
