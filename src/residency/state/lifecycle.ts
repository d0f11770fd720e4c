import { WorkerError } from '../../errors.js';

/** starting: devices come up; loading: shards are restored; ready; draining: no new work; stopped. */
export const workerPhases = ['starting', 'loading', 'ready', 'draining', 'stopped'] as const;
export type WorkerPhase = (typeof workerPhases)[number];

/** From which phases each transition is allowed, and where it leads. Every other call is refused. */
export const lifecycleTransitions = {
  devicesUp: { from: ['starting'], to: 'ready' },
  beginLoading: { from: ['ready'], to: 'loading' },
  endLoading: { from: ['loading'], to: 'ready' },
  beginDraining: { from: ['starting', 'loading', 'ready', 'draining'], to: 'draining' },
  stop: { from: ['starting', 'loading', 'ready', 'draining', 'stopped'], to: 'stopped' },
} as const satisfies Record<string, { from: readonly WorkerPhase[]; to: WorkerPhase }>;

type Transition = keyof typeof lifecycleTransitions;

/**
 * The phase of the worker, and whether it accepts work. `revision` grows with every change that a client of `ready`
 * could see, so that responses can be cached.
 */
export class Lifecycle {
  /** Called after each change of `revision`. */
  readonly onRevision: (() => void)[] = [];
  readonly #requireAudit: () => void;
  #phase: WorkerPhase = 'starting';
  #devicesUp = false;
  #lossError: WorkerError | undefined;
  #revision = 0;
  #shutdownAnnounced = false;

  /** `requireAudit` throws AUDIT_UNAVAILABLE while the audit log cannot be written. */
  constructor(requireAudit: () => void) {
    this.#requireAudit = requireAudit;
  }

  get phase(): WorkerPhase {
    return this.#phase;
  }

  /** Draining or stopped: background work must not begin. */
  get isEnding(): boolean {
    return this.#phase === 'draining' || this.#phase === 'stopped';
  }

  /** The shutdown is announced, or has begun. */
  get isLeaving(): boolean {
    return this.#shutdownAnnounced || this.isEnding;
  }

  /** Set once the driver is lost. Only a new process can recover. */
  get lossError(): WorkerError | undefined {
    return this.#lossError;
  }

  get revision(): number {
    return this.#revision;
  }

  bumpRevision(): void {
    this.#revision++;
    for (const listener of this.onRevision) listener();
  }

  /** @throws the error that lost the driver, if that happened during startup */
  devicesUp(): void {
    if (this.#lossError !== undefined) throw this.#lossError;
    this.#change('devicesUp');
    this.#devicesUp = true;
  }

  beginLoading(): void {
    this.#change('beginLoading');
  }

  endLoading(): void {
    this.#change('endLoading');
  }

  /** The worker still accepts work, but its health says that it will not for long. */
  announceShutdown(): void {
    this.#shutdownAnnounced = true;
  }

  beginDraining(): void {
    this.#change('beginDraining');
  }

  stop(): void {
    this.#change('stop');
  }

  /** The driver is lost: the worker stops, and every later request gets this error. */
  loseDriver(error: WorkerError): void {
    this.#lossError = error;
    this.#change('stop');
  }

  /** @throws WorkerError STARTING, or the error that lost the driver */
  requireStarted(): void {
    if (!this.#devicesUp) throw startingError();
    if (this.#lossError !== undefined) throw this.#lossError;
  }

  /** The worker accepts new work. @throws WorkerError STARTING, DRAINING, AUDIT_UNAVAILABLE, or the loss of the driver */
  requireOpen(): void {
    this.requireStarted();
    if (this.isEnding) throw drainingError();
    this.#requireAudit();
  }

  #change(transition: Transition): void {
    const { from, to }: { from: readonly WorkerPhase[]; to: WorkerPhase } = lifecycleTransitions[transition];
    if (!from.includes(this.#phase)) {
      throw new WorkerError('INTERNAL', `The worker cannot ${transition} while it is ${this.#phase}`);
    }
    this.#phase = to;
    this.bumpRevision();
  }
}

/** The error of a request that comes before the devices are up. */
export const startingError = (): WorkerError =>
  new WorkerError('STARTING', 'The devices are not up yet', { retryAfterMs: 1000 });

/** The error of a request, or of a commit in progress, that a shutdown ends. */
export const drainingError = (): WorkerError =>
  new WorkerError('DRAINING', 'The worker is shutting down', { retryAfterMs: 5000 });
