import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { nativePaths } from '../config/native_paths.js';
import { wipe } from '../config/secrets.js';
import { ConfigError } from '../config/config_error.js';
import { type Config, loadConfig } from '../config/load.js';
import { readTls } from '../config/tls_files.js';
import { buildApp } from '../http/app.js';
import { closeGracefully } from '../http/plugins/graceful_close.js';
import { Tokens, tokensOf } from '../http/plugins/tokens.js';
import { Residency } from '../residency/residency.js';
import { exitNow } from '../vram/exit.js';
import { forbidCoreDumps } from '../vram/process.js';
import { banner } from './banner.js';
import { exitStatus } from './exit_status.js';
import type { FileWatch } from './file_watch.js';
import { createLogger } from './logger.js';
import { reloadOnChange } from './reload.js';
import { StopSignals } from './signals.js';

/** How long a worker without a driver goes on answering, so that all who wait and all who poll learn of it. */
const lossGraceMs = 2000;

/** How long it may then take to close the connections that are left. */
const lastAnswersMs = 1000;

/** How much of what is then left connections may take. */
const connectionShare = 0.5;

/** How much of the drain time commits may take before those still receiving are told to go. */
const commitShare = 0.8;

/**
 * Runs the worker until SIGTERM or SIGINT: listens at once, so that `livez` answers while the devices come up.
 * @throws ConfigError for settings and a manifest that can't be, VramError where there is no usable GPU
 */
export async function serve({ simulate }: { simulate: boolean }): Promise<void> {
  const signals = new StopSignals();
  const coreless = forbidCoreDumps();
  const config = loadConfig(process.env, { simulate, directory: process.cwd() });
  const logger = createLogger(config.logLevel);
  if (!coreless) logger.warn('core dumps could not be switched off: one would hold the keys');
  let up = false;
  const residency: Residency = new Residency({
    ...config,
    ...nativePaths(config),
    log: (level, message, fields) => logger[level](fields, message),
    onLost: (error) => {
      if (up) void giveUp({ app, residency, logger }, error);
    },
  });
  pauseOnSignal(residency, logger);
  const credentials = new Tokens(tokensOf(config));
  const tls = config.tls && new (await import('../http/server/tls_server.js')).TlsServers(readTls(config.tls));
  // What was made from them is enough from here on.
  wipe(config.apiToken, config.readToken, config.sealSecret);
  process.once('exit', () => {
    residency.sealKey.wipe();
    tls?.wipe();
  });
  const watch = reloadOnChange({ config, residency, credentials, tls, logger });
  const app = await buildApp({ residency, config, logger, credentials, tls });
  const address = await app.listen({ host: config.bindHost, port: config.bindPort });
  try {
    await residency.start();
  } catch (error) {
    await closeGracefully(app, 0);
    throw explain(error, simulate);
  }
  up = true;
  if (residency.simulated)
    logger.warn({ driver: residency.driver }, 'this worker holds no weights in GPU memory: its device is simulated');
  void signals.first.then((signal) => shutDown({ app, config, residency, logger, watch, signals, signal }));
  process.stdout.write(banner(config, address));
}

/** SIGUSR2 pauses the background verification, and the next one lets it go on. */
function pauseOnSignal(residency: Residency, logger: Logger): void {
  let paused = false;
  process.on('SIGUSR2', () => {
    paused = !paused;
    residency.pauseScrub(paused);
    logger.warn({ paused }, 'the background verification is paused, or goes on');
  });
}

interface Running {
  readonly app: Awaited<ReturnType<typeof buildApp>>;
  readonly residency: Residency;
  readonly logger: Logger;
}

interface ShutDown extends Running {
  readonly config: Config;
  readonly watch: FileWatch;
  readonly signals: StopSignals;
  readonly signal: string;
}

/** Says for a moment that the driver is lost, to those who wait and to those who ask, and exits whatever still hangs. */
async function giveUp({ app, residency, logger }: Running, error: Error): Promise<void> {
  logger.fatal({ err: error }, 'the driver is lost: exiting');
  const deadlineMs = lossGraceMs + 2 * lastAnswersMs;
  setTimeout(() => exitNow(exitStatus.lost), deadlineMs);
  await sleep(lossGraceMs);
  await closeGracefully(app, lastAnswersMs);
  residency.abandon();
  exitNow(exitStatus.lost);
}

/** Lets commits finish while there is time, answers the rest, wipes the memory, and exits within the deadline. */
async function shutDown({ app, config, residency, logger, watch, signals, signal }: ShutDown): Promise<void> {
  const deadline = performance.now() + config.drainSeconds * 1000;
  logger.info({ signal, drain_seconds: config.drainSeconds }, 'draining');
  setTimeout(() => exitNow(residency.lost ? exitStatus.lost : exitStatus.late), config.drainSeconds * 1000).unref();
  residency.drain();
  watch.close();
  const commitDeadline = performance.now() + config.drainSeconds * 1000 * commitShare;
  while (residency.commitsUnderWay > 0 && performance.now() < commitDeadline && !signals.forced) await sleep(20);
  await residency.abortCommits();
  // The memory does not wait for connections: one that stands idle must not keep weights from being wiped.
  const wiped = residency.stop().then(
    () => true,
    (error: unknown) => {
      logger.fatal({ err: error }, 'the memory could not be wiped');
      return false;
    },
  );
  await closeGracefully(app, Math.max(0, deadline - performance.now()) * connectionShare);
  if (!(await wiped)) exitNow(residency.lost ? exitStatus.lost : exitStatus.unwiped);
  logger.info('stopped');
  // A driver that is lost takes its memory along: nothing was left to wipe, and nothing was wiped.
  exitNow(residency.lost ? exitStatus.lost : 0);
}

/** Says what to do where there is no GPU: the worker keeps shards in VRAM or not at all. */
function explain(error: unknown, simulate: boolean): unknown {
  if (!(error instanceof Error)) return error;
  if (error.name === 'ManifestError') return new ConfigError(error.message);
  const hint = simulate ? '' : ' The worker needs one; --simulate runs it without.';
  return new Error(`no usable GPU: ${error.message}.${hint}`, { cause: error });
}
