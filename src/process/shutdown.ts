import { setTimeout as sleep } from 'node:timers/promises';
import { closeGracefully } from '../http/plugins/graceful_close.js';
import type { Residency } from '../residency/residency.js';
import { exitNow } from '../vram/exit.js';
import { exitStatus } from './exit_status.js';
import { standardOutput } from './output.js';
import type { Worker } from './worker.js';

/** Whether a second signal asked to stop. */
interface StopSignals {
  readonly forced: boolean;
}

/** How long a worker without a driver still answers, so that waiting and polling clients see the error. */
const lossGraceMs = 2000;

/** How long it then waits for open connections. */
const closeGraceMs = 1000;

/** The part of the drain time in which commits may finish. */
const commitShare = 0.8;

/** The part of the remaining time in which connections may finish. */
const connectionShare = 0.5;

/** How long an exit waits for the last log lines. */
const flushMs = 200;

/** How much later than the timers of this file the native deadline is. */
export const blockedGraceMs = 500;

/**
 * Announces the shutdown, waits for commits and other requests, wipes the memory, and exits within the delay and the
 * drain time.
 */
export async function shutDown(worker: Worker, signals: StopSignals, signal: string): Promise<void> {
  const { app, config, residency, logger, watch } = worker;
  const fields = { signal, drain_seconds: config.drainSeconds, shutdown_delay_seconds: config.shutdownDelaySeconds };
  logger.info(fields, config.shutdownDelaySeconds > 0 ? 'shutdown announced' : 'draining');
  await announce(worker, signals);
  const drainMs = config.drainSeconds * 1000;
  const startMs = performance.now();
  worker.exitDeadline.after(drainMs + blockedGraceMs, residency.isLost ? exitStatus.lost : exitStatus.late);
  setTimeout(() => void exitLate(worker), drainMs).unref();
  const unlabeled = worker.nodeFeatures?.close();
  worker.attach?.announceDraining();
  worker.pulls.drain();
  residency.drain();
  worker.uploads.drain();
  watch.close();
  await finishCommits(residency, startMs + drainMs * commitShare, signals);
  // An idle connection must not delay the wipe.
  const wiping = wipe(worker);
  await closeGracefully(app, Math.max(0, startMs + drainMs - performance.now()) * connectionShare);
  const isWiped = await wiping;
  await worker.attach?.close();
  await unlabeled;
  if (isWiped) logger.info('stopped');
  // The memory of a lost driver is gone, but it was not wiped.
  await exitAfterFlush(residency.isLost ? exitStatus.lost : isWiped ? 0 : exitStatus.unwiped);
}

/** Tells clients for a short time that the driver is lost, then exits even if a call of the driver still hangs. */
export async function exitOnLoss(
  { app, attach, residency, nodeFeatures, logger, exitDeadline }: Worker,
  error: Error,
): Promise<void> {
  logger.fatal({ err: error }, 'the driver is lost: exiting');
  const graceMs = lossGraceMs + 2 * closeGraceMs;
  exitDeadline.after(graceMs + blockedGraceMs, exitStatus.lost);
  setTimeout(() => exitNow(exitStatus.lost), graceMs);
  void nodeFeatures?.close();
  await sleep(lossGraceMs);
  await closeGracefully(app, closeGraceMs);
  await attach?.close();
  await residency.abandon();
  await exitAfterFlush(exitStatus.lost);
}

/** Wipes the memory and exits, after an error that no code handled. */
export async function exitOnDefect(worker: Worker, error: unknown): Promise<void> {
  const { config, residency, pulls, logger, exitDeadline } = worker;
  logger.fatal({ err: error }, 'unexpected error: exiting');
  exitDeadline.after(config.drainSeconds * 1000 + blockedGraceMs, exitStatus.lost);
  pulls.drain();
  residency.drain();
  await wipe(worker);
  await exitAfterFlush(exitStatus.lost);
}

/** `readyz` is false for the shutdown delay, and the worker still serves. A second signal ends the delay. */
async function announce({ config, residency }: Worker, signals: StopSignals): Promise<void> {
  residency.announceShutdown();
  const endMs = performance.now() + config.shutdownDelaySeconds * 1000;
  while (performance.now() < endMs && !signals.forced) await sleep(20);
}

/** Waits for commits until the deadline or a second signal, then aborts the rest. */
async function finishCommits(residency: Residency, deadlineMs: number, signals: StopSignals): Promise<void> {
  while (residency.commitsInProgress > 0 && performance.now() < deadlineMs && !signals.forced) await sleep(20);
  await residency.abortCommits();
}

/** Whether the memory was wiped. */
async function wipe({ residency, logger }: Worker): Promise<boolean> {
  try {
    await residency.stop();
    return true;
  } catch (error) {
    logger.fatal({ err: error }, 'the memory could not be wiped');
    return false;
  }
}

async function exitLate({ residency, logger }: Worker): Promise<void> {
  logger.fatal('the shutdown exceeded its deadline: memory may not be wiped');
  await exitAfterFlush(residency.isLost ? exitStatus.lost : exitStatus.late);
}

/** Exits after the last log lines, or without them if they take too long. */
export async function exitAfterFlush(status: number): Promise<never> {
  await standardOutput.flush(flushMs);
  exitNow(status);
}
