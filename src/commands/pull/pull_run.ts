import { writeSync } from 'node:fs';
import type { Pull } from '../client/answers.js';
import { ProblemError, problemText, statusOf } from '../client/client_error.js';
import { onInterrupts, statusAfter } from '../client/interrupts.js';
import { printJson, printLine, printNote } from '../client/output.js';
import { clientStatus } from '../client/status.js';
import { ProgressTracker } from '../terminal/progress.js';
import type { Reporter } from '../terminal/reporter.js';
import { bytesText } from '../terminal/units.js';
import { Interrupter } from './interruption.js';
import type { PullAction } from './options.js';
import { hasEnded } from './pull_client.js';
import { RetryNotes, reportOf } from './report.js';
import type { StartedPull } from './start.js';

export interface PullRunOptions {
  readonly reporter: Reporter;
  readonly isJson: boolean;
  /** The command to watch or cancel a pull, for messages. */
  readonly commandFor: (option: '--watch' | '--cancel', pullId: string) => string;
  /** Ends the requests of the command. */
  readonly abort: AbortController;
  /** A start can be repeated, and a cancellation succeeds if the pull is canceled. */
  readonly kind: PullAction['kind'];
}

/** Restarts of the worker. */
const maxRestarts = 5;

/** Follows one pull to its end, and handles Ctrl-C from the first request on. */
export class PullRun {
  readonly #options: PullRunOptions;
  readonly #tracker = new ProgressTracker();
  readonly #retries = new RetryNotes();
  readonly #interrupter: Interrupter;
  readonly #stopListening: () => void;
  readonly #onExit = () => this.#sayThatItContinues();
  #started: StartedPull | undefined;
  #isCancelWanted = false;

  constructor(options: PullRunOptions) {
    this.#options = options;
    this.#interrupter = new Interrupter({
      note: (text) => options.reporter.note(text),
      cancel: () => this.#cancel(),
      leave: () => options.abort.abort(),
    });
    this.#stopListening = onInterrupts((signal) => this.#interrupter.receive(signal));
  }

  /** Shows the pull until it ends. Resolves with the exit status. */
  async run(start: () => Promise<StartedPull>): Promise<number> {
    process.once('exit', this.#onExit);
    try {
      for (let restarts = 0; ; restarts++) {
        try {
          return this.#end(await this.#follow(start));
        } catch (error) {
          if (!this.#isForgotten(error) || restarts === maxRestarts) throw error;
          this.#options.reporter.note('the worker no longer has the pull; it begins again');
        }
      }
    } catch (error) {
      this.#options.reporter.stop();
      if (this.#interrupter.state.kind === 'left') return this.#left();
      throw error;
    } finally {
      this.#interrupter.stop();
      this.#stopListening();
      process.off('exit', this.#onExit);
    }
  }

  /** Resolves with the pull at its end. */
  async #follow(start: () => Promise<StartedPull>): Promise<Pull> {
    this.#started = await start();
    const { requests } = this.#started;
    let { pull } = this.#started;
    if (this.#options.isJson) printJson({ event: 'pull', pull });
    if (this.#isCancelWanted) this.#cancel();
    this.#show(pull);
    for await (const next of requests.follow(pull)) {
      pull = next;
      this.#show(pull);
    }
    return pull;
  }

  /** A worker that restarted forgets its pulls. */
  #isForgotten(error: unknown): boolean {
    const isUnknown = error instanceof ProblemError && error.problem.code === 'NOT_FOUND';
    return this.#options.kind === 'start' && this.#started !== undefined && isUnknown && !this.#isCancelWanted;
  }

  #show(pull: Pull): void {
    for (const note of this.#retries.next(pull)) this.#options.reporter.note(note);
    if (!hasEnded(pull)) this.#options.reporter.show(this.#tracker.next(reportOf(pull)));
  }

  #end(pull: Pull): number {
    const { reporter, isJson } = this.#options;
    if (pull.state === 'sealed') reporter.show(this.#tracker.next(reportOf(pull)));
    reporter.stop();
    if (isJson) printJson({ event: 'end', pull });
    if (pull.state === 'sealed') return this.#endSealed(pull);
    if (pull.state === 'cancelled') return this.#endCanceled(pull);
    const { problem } = pull;
    printNote(`${pull.pull_id} failed: ${problem ? problemText(problem) : 'the worker gave no reason'}`);
    return problem ? statusOf(problem) : clientStatus.failed;
  }

  #endSealed(pull: Pull): number {
    if (!this.#options.isJson) printShards(pull);
    if (this.#options.kind !== 'cancel' && !this.#isCancelWanted) return clientStatus.done;
    printNote(`the pull ${pull.pull_id} was sealed before it could be canceled`);
    return this.#options.kind === 'cancel' ? clientStatus.failed : clientStatus.done;
  }

  #endCanceled(pull: Pull): number {
    const { state } = this.#interrupter;
    printNote(`the pull ${pull.pull_id} is canceled, and its memory is free`);
    if (state.kind === 'canceling') return statusAfter(state.signal);
    return this.#options.kind === 'cancel' ? clientStatus.done : clientStatus.failed;
  }

  #cancel(): void {
    this.#isCancelWanted = true;
    this.#started?.requests.cancel().catch((error: Error) => {
      this.#options.reporter.note(`the pull cannot be canceled: ${error.message}`);
    });
  }

  #left(): number {
    const { state } = this.#interrupter;
    const canceled = state.kind === 'left' ? state.canceled : undefined;
    const pull = this.#started?.pull;
    if (this.#options.isJson && pull !== undefined) printJson({ event: 'left', pull_id: pull.pull_id });
    printNote(this.#leftText(canceled === undefined ? 'continues in the worker' : 'is being canceled by the worker'));
    return canceled === undefined ? clientStatus.leftRunning : statusAfter(canceled);
  }

  #leftText(what: string): string {
    const pullId = this.#started?.pull.pull_id;
    if (pullId === undefined) return 'the pull may continue in the worker: run the command again to join it';
    const { commandFor } = this.#options;
    return `the pull ${pullId} ${what}. Watch it: ${commandFor('--watch', pullId)}. Cancel it: ${commandFor('--cancel', pullId)}`;
  }

  /** The process ends because stdout was closed. */
  #sayThatItContinues(): void {
    if (this.#started === undefined || hasEnded(this.#started.pull)) return;
    try {
      writeSync(2, `vram-worker: ${this.#leftText('continues in the worker')}\n`);
    } catch {
      // stderr is closed too.
    }
  }
}

function printShards({ files }: Pull): void {
  for (const { shard_id: shardId, path, bytes } of files) printLine(`${shardId}  sealed  ${bytesText(bytes)}  ${path}`);
}
