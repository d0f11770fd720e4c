import { WorkerError } from '../errors.js';
import { Changes } from './changes.js';
import type { PullFile, PullFileSnapshot } from './pull_file.js';
import { hasEnded, type PullPhase, type PullState, type PullTransition, pullTransitions } from './pull_phase.js';
import { fingerprintOf, type PullRequest } from './pull_request.js';
import { RateMeter } from './rate_meter.js';

/** What a source answered about the model of a pull. */
export interface ResolvedPull {
  /** With the resolved revision. */
  readonly modelRef: string;
  readonly isImmutable: boolean;
  /** The paths of files that are not shards. */
  readonly skipped: readonly string[];
}

/** A pull at one moment, as a plain value. Times are milliseconds since the epoch. */
export interface PullSnapshot {
  /** The id of the request that asked for the pull. */
  readonly requestId: string | null;
  readonly pullId: string;
  readonly state: PullState;
  readonly modelRef: string | null;
  readonly shardIdPrefix: string;
  readonly resolved: ResolvedPull | null;
  readonly bytes: number;
  readonly receivedBytes: number;
  readonly fetchedBytes: number;
  readonly bytesPerSecond: number;
  readonly remainingSeconds: number | null;
  readonly files: readonly PullFileSnapshot[];
  readonly createdAtMs: number;
  readonly endedAtMs: number | null;
  /** Why the pull failed or was canceled. */
  readonly problem: WorkerError | null;
  /** Why the source was last asked again, while the model was resolved or inspected. */
  readonly lastProblem: WorkerError | null;
  /** Grows with every change. */
  readonly revision: number;
}

/** One pull: its request, its phase, and the progress of its files. Only this class changes its phase. */
export class Pull {
  readonly request: PullRequest;
  readonly requestId: string | null;
  readonly fingerprint: string;
  readonly createdAtMs = Date.now();
  readonly changes = new Changes();
  readonly #rate = new RateMeter();
  #phase: PullPhase = { state: 'queued' };
  #resolved: ResolvedPull | null = null;
  #files: readonly PullFile[] = [];
  #bytes = 0;
  #lastProblem: WorkerError | null = null;
  #snapshot: PullSnapshot | undefined;

  /** `requestId` is the id of the request that asked for the pull. */
  constructor(request: PullRequest, requestId: string | null = null) {
    this.request = request;
    this.requestId = requestId;
    this.fingerprint = fingerprintOf(request);
  }

  get state(): PullState {
    return this.#phase.state;
  }

  get hasEnded(): boolean {
    return hasEnded(this.#phase);
  }

  get files(): readonly PullFile[] {
    return this.#files;
  }

  /** The name of the model in handles. */
  get modelRef(): string | null {
    return this.request.modelRef ?? this.#resolved?.modelRef ?? null;
  }

  beginResolving(): void {
    this.#enter('beginResolving', { state: 'resolving' });
  }

  beginInspecting(resolved: ResolvedPull, files: readonly PullFile[]): void {
    this.#resolved = resolved;
    this.#files = files;
    this.#bytes = files.reduce((sum, { file }) => sum + file.bytes, 0);
    this.#enter('beginInspecting', { state: 'inspecting' });
  }

  beginReceiving(): void {
    this.#enter('beginReceiving', { state: 'receiving' });
  }

  beginProving(): void {
    this.#enter('beginProving', { state: 'proving' });
  }

  markSealed(): void {
    for (const file of this.#files) file.markSealed();
    this.#enter('markSealed', { state: 'sealed', endedAtMs: Date.now() });
  }

  /** Everything is undone. `failed` is the file that the problem is about, if it is about one. */
  fail(problem: WorkerError, failed?: PullFile): void {
    for (const file of this.#files) file === failed ? file.fail(problem) : file.undo();
    this.#enter('fail', { state: 'failed', endedAtMs: Date.now(), problem });
  }

  /** Everything is undone, because a client asked for it. */
  cancel(problem: WorkerError): void {
    for (const file of this.#files) file.undo();
    this.#enter('cancel', { state: 'cancelled', endedAtMs: Date.now(), problem });
  }

  /** A request failed while the model was resolved or inspected, and another attempt follows. */
  retry(problem: WorkerError): void {
    this.#lastProblem = problem;
    this.#changed();
  }

  /** A file changed its state, or began another attempt. */
  fileChanged(): void {
    this.#changed();
  }

  /** Reports the progress since the last call. Called twice a second at most. */
  reportProgress(): void {
    const { fetchedBytes, receivedBytes, bytesPerSecond } = this.snapshot();
    this.#rate.add(this.#fetchedBytes, performance.now());
    const isSame = fetchedBytes === this.#fetchedBytes && receivedBytes === this.#receivedBytes;
    if (!isSame || bytesPerSecond !== this.#rate.bytesPerSecond) this.#changed();
  }

  /** The same object until a change is reported. */
  snapshot(): PullSnapshot {
    this.#snapshot ??= this.#take();
    return this.#snapshot;
  }

  /** For the audit log. */
  summary(): Readonly<Record<string, unknown>> {
    const { pullId, state, modelRef, bytes, fetchedBytes, problem, resolved, files } = this.snapshot();
    return {
      pull_id: pullId,
      model_ref: modelRef,
      source: resolved?.modelRef ?? null,
      outcome: state === 'sealed' ? 'ok' : (problem?.code ?? null),
      shards: files.length,
      bytes,
      fetched_bytes: fetchedBytes,
    };
  }

  get #fetchedBytes(): number {
    return this.#files.reduce((sum, { fetchedBytes }) => sum + fetchedBytes, 0);
  }

  get #receivedBytes(): number {
    return this.#files.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);
  }

  #take(): PullSnapshot {
    const phase = this.#phase;
    const receivedBytes = this.#receivedBytes;
    const bytesPerSecond = 'endedAtMs' in phase ? 0 : this.#rate.bytesPerSecond;
    return {
      requestId: this.requestId,
      pullId: this.request.pullId,
      state: phase.state,
      modelRef: this.modelRef,
      shardIdPrefix: this.request.shardIdPrefix,
      resolved: this.#resolved,
      bytes: this.#bytes,
      receivedBytes,
      fetchedBytes: this.#fetchedBytes,
      bytesPerSecond,
      remainingSeconds: bytesPerSecond === 0 ? null : Math.ceil((this.#bytes - receivedBytes) / bytesPerSecond),
      files: this.#files.map((file) => file.snapshot()),
      createdAtMs: this.createdAtMs,
      endedAtMs: 'endedAtMs' in phase ? phase.endedAtMs : null,
      problem: 'problem' in phase ? phase.problem : null,
      lastProblem: this.#lastProblem,
      revision: this.changes.revision,
    };
  }

  #enter(transition: PullTransition, phase: PullPhase): void {
    const { from, to }: { from: readonly PullState[]; to: PullState } = pullTransitions[transition];
    if (!from.includes(this.state) || phase.state !== to) {
      throw new WorkerError('INTERNAL', `The pull cannot ${transition} while it is ${this.state}`);
    }
    this.#phase = phase;
    this.#changed();
  }

  #changed(): void {
    this.#snapshot = undefined;
    this.changes.bump();
  }
}
