import { ConfigError } from '../config/config_error.js';
import { loadConfig, requireResponses } from '../config/load.js';
import { nativeLibrary } from '../config/native_paths.js';
import { settings } from '../config/settings.js';
import { codeOf, WorkerError } from '../errors.js';
import { closeGracefully } from '../http/plugins/graceful_close.js';
import { listen } from '../http/server/listen.js';
import { minOpenFiles } from '../runtime/open_files.js';
import { ExitDeadline } from '../vram/exit.js';
import { forbidCoreDumps } from '../vram/process.js';
import { banner } from './banner.js';
import { closeDebugger } from './debugger.js';
import { ExitError, exitStatus } from './exit_status.js';
import { openLog } from './logger.js';
import { requireOpenFiles } from './open_files.js';
import { standardOutput } from './output.js';
import { blockedGraceMs, exitAfterFlush, exitOnDefect, exitOnLoss, shutDown } from './shutdown.js';
import signalsModule from './signals.cjs';
import { buildWorker, type Worker } from './worker.js';

/**
 * Runs the worker until SIGTERM or SIGINT. It listens before the devices are up, so that `livez` answers early.
 * @throws ConfigError for an invalid setting or manifest, FileTimeoutError, ExitError for other reasons not to start
 */
export async function serve({ simulate }: { simulate: boolean }): Promise<void> {
  const { signals } = signalsModule;
  let built: Worker | undefined;
  const stopped = signals.stop.then((signal) => stop(built, signals, signal));
  try {
    await start({ simulate }, signals, (worker) => {
      built = worker;
    });
  } catch (error) {
    if (!signals.stopRequested) throw error;
    await stopped;
  }
}

/** Before the devices are up there is no memory to wipe, so the process ends at once, whatever the startup waits for. */
async function stop(worker: Worker | undefined, signals: Signals, signal: string): Promise<void> {
  if (worker !== undefined && worker.residency.phase !== 'starting') return shutDown(worker, signals, signal);
  worker?.logger.info({ signal }, 'stopped before the devices were up');
  await exitAfterFlush(0);
}

type Signals = typeof signalsModule.signals;

async function start(
  { simulate }: { simulate: boolean },
  signals: Signals,
  onBuilt: (worker: Worker) => void,
): Promise<void> {
  closeDebugger();
  const exitDeadline = new ExitDeadline(nativeLibrary());
  limitShutdown(exitDeadline, settings.drainSeconds.default);
  const coreDumpsOff = forbidCoreDumps();
  await requireResponses(process.env);
  const config = await loadConfig(process.env, { simulate, directory: process.cwd() });
  requireOpenFiles(minOpenFiles({ attach: config.attachSocket !== undefined }));
  limitShutdown(exitDeadline, config.shutdownDelaySeconds + config.drainSeconds);
  const log = openLog(config.logLevel);
  if (!coreDumpsOff) log.logger.warn('core dumps could not be disabled: a core file would contain the keys');
  for (const warning of config.warnings) log.logger.warn(warning);
  // Until the devices are up, `startDevices` reports a lost driver.
  let onLost = (_error: Error): void => undefined;
  const worker = await buildWorker({ config, log, signals, exitDeadline, onLost: (error) => onLost(error) });
  onBuilt(worker);
  endOnDefect(worker);
  const address = await openPort(worker);
  await startDevices(worker);
  worker.attach?.start();
  onLost = (error) => void exitOnLoss(worker, error);
  if (!signals.stopRequested) standardOutput.put(banner(config, address), 'worker');
}

/** A shutdown ends in time even if the event loop is blocked. */
function limitShutdown(exitDeadline: ExitDeadline, seconds: number): void {
  exitDeadline.afterStopSignal(seconds * 1000 + blockedGraceMs, exitStatus.late);
}

async function openPort({ app, config }: Worker): Promise<string> {
  try {
    return await listen(app, config.bindHost, config.bindPort);
  } catch (cause) {
    const what = `cannot listen on ${config.bindHost}:${config.bindPort}: ${codeOf(cause)}`;
    throw new ExitError(exitStatus.ioError, `${what}: change WORKER_BIND_ADDR`, { cause });
  }
}

async function startDevices({ app, attach, config, residency, logger }: Worker): Promise<void> {
  try {
    await residency.start();
  } catch (error) {
    await closeGracefully(app, 0);
    await attach?.close();
    throw startError(error, config.simulate);
  }
  if (!residency.simulated) return;
  logger.warn({ driver: residency.driver }, 'the GPU is simulated: no weights are in GPU memory');
}

function startError(error: unknown, simulate: boolean): unknown {
  if (error instanceof WorkerError) {
    if (error.code === 'NOT_FOUND') return new ConfigError(`WORKER_GPU_DEVICES is invalid: ${error.message}`);
    const hint = simulate ? '' : ': run with --simulate to use a simulated one';
    return new ExitError(exitStatus.unavailable, `no usable GPU: ${error.message}${hint}`, { cause: error });
  }
  if (!(error instanceof Error)) return error;
  if (error.name === 'FileInUseError') return new ConfigError(error.message);
  if (error.name !== 'ManifestError') return error;
  if (error.cause === undefined) return new ConfigError(error.message);
  return new ExitError(exitStatus.cannotCreate, error.message, { cause: error });
}

/** An error that no code handled ends the worker, because its state is unknown. */
function endOnDefect(worker: Worker): void {
  let isEnding = false;
  process.on('uncaughtException', (error) => {
    if (isEnding) return worker.logger.fatal({ err: error }, 'unexpected error during the exit');
    isEnding = true;
    void exitOnDefect(worker, error);
  });
}
