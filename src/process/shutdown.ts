import { setTimeout as sleep } from 'node:timers/promises';
import { closeGracefully } from '../http/plugins/graceful_close.js';
import type { Residency } from '../residency/residency.js';
import { exitNow } from '../vram/exit.js';
import { exitStatus } from './exit_status.js';
import type { StopSignals } from './signals.js';
import type { Worker } from './worker.js';

/** How long a worker without a driver still answers, so that waiting and polling clients see the error. */
const lossGraceMs = 2000;

/** How long it then waits for open connections. */
const closeGraceMs = 1000;

/** The part of the drain time in which commits may finish. */
const commitShare = 0.8;

/** The part of the remaining time in which connections may finish. */
const connectionShare = 0.5;

/** Waits for commits and other requests, wipes the memory, and exits within the drain time. */
export async function shutDown(worker: Worker, signals: StopSignals, signal: string): Promise<void> {
  const { app, config, residency, logger, watch } = worker;
  const drainMs = config.drainSeconds * 1000;
  const startMs = performance.now();
  logger.info({ signal, drain_seconds: config.drainSeconds }, 'draining');
  setTimeout(() => exitNow(residency.isLost ? exitStatus.lost : exitStatus.late), drainMs).unref();
  residency.drain();
  watch.close();
  await finishCommits(residency, startMs + drainMs * commitShare, signals);
  // An idle connection must not delay the wipe.
  const wiping = wipe(worker);
  await closeGracefully(app, Math.max(0, startMs + drainMs - performance.now()) * connectionShare);
  const isWiped = await wiping;
  if (isWiped) logger.info('stopped');
  // The memory of a lost driver is gone, but it was not wiped.
  if (residency.isLost) exitNow(exitStatus.lost);
  exitNow(isWiped ? 0 : exitStatus.unwiped);
}

/** Tells clients for a short time that the driver is lost, then exits even if a call of the driver still hangs. */
export async function exitOnLoss({ app, residency, logger }: Worker, error: Error): Promise<void> {
  logger.fatal({ err: error }, 'the driver is lost: exiting');
  setTimeout(() => exitNow(exitStatus.lost), lossGraceMs + 2 * closeGraceMs);
  await sleep(lossGraceMs);
  await closeGracefully(app, closeGraceMs);
  await residency.abandon();
  exitNow(exitStatus.lost);
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
