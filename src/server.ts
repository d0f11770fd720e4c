import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, pino } from 'pino';
import { buildApp } from './app.js';
import { banner } from './banner.js';
import { type Config, ConfigError, loadConfig } from './config.js';
import { closeGracefully } from './http/plugins/drain.js';
import { nativePaths } from './native.js';
import { Residency } from './residency/residency.js';

/** Exit status of a worker whose device was lost under it: a supervisor starts a new one. EX_SOFTWARE of sysexits.h. */
const lostDevice = 70;

/** Exit status when the deadline cut the shutdown short. EX_TEMPFAIL of sysexits.h. */
const late = 75;

/** Exit status when the driver would not wipe the memory. EX_OSERR of sysexits.h. */
const unwiped = 71;

/** How much of what is then left connections may take. */
const connectionShare = 0.5;

/** How much of the drain time commits may take before those still receiving are told to go. */
const commitShare = 0.8;

/**
 * Runs the worker until SIGTERM or SIGINT: listens at once, so that `livez` answers while the devices come up.
 * @throws ConfigError for settings and a manifest that can't be, VramError where there is no usable GPU
 */
export async function serve({ simulate }: { simulate: boolean }): Promise<void> {
  const config = loadConfig(process.env, { simulate, directory: process.cwd() });
  const logger = pino({ level: config.logLevel });
  const residency = new Residency({
    ...config,
    ...nativePaths(config),
    log: (level, message, fields) => logger[level](fields, message),
    onLost: (error) => {
      logger.fatal({ err: error }, 'the device is lost: exiting');
      setImmediate(() => process.exit(lostDevice));
    },
  });
  pauseOnSignal(residency, logger);
  const app = await buildApp({ residency, config, logger });
  const address = await app.listen({ host: config.bindHost, port: config.bindPort });
  try {
    await residency.start();
  } catch (error) {
    await closeGracefully(app, 0);
    throw explain(error, simulate);
  }
  if (residency.simulated)
    logger.warn({ driver: residency.driver }, 'this worker holds no weights in GPU memory: its device is simulated');
  process.stdout.write(banner(config, address));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => void shutDown({ app, config, residency, logger, signal }));
  }
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
  readonly config: Config;
  readonly residency: Residency;
  readonly logger: Logger;
  readonly signal: string;
}

/** Lets commits finish while there is time, answers the rest, wipes the memory, and exits within the deadline. */
async function shutDown({ app, config, residency, logger, signal }: Running): Promise<void> {
  const deadline = performance.now() + config.drainSeconds * 1000;
  logger.info({ signal, drain_seconds: config.drainSeconds }, 'draining');
  setTimeout(() => process.exit(late), config.drainSeconds * 1000).unref();
  residency.drain();
  const commitDeadline = performance.now() + config.drainSeconds * 1000 * commitShare;
  while (residency.commitsUnderWay > 0 && performance.now() < commitDeadline) await sleep(20);
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
  if (!(await wiped)) process.exit(unwiped);
  logger.info('stopped');
  process.exit(0);
}

/** Says what to do where there is no GPU: the worker keeps shards in VRAM or not at all. */
function explain(error: unknown, simulate: boolean): unknown {
  if (!(error instanceof Error)) return error;
  if (error.name === 'ManifestError') return new ConfigError(error.message);
  const hint = simulate ? '' : ' The worker needs one; --simulate runs it without.';
  return new Error(`no usable GPU: ${error.message}.${hint}`, { cause: error });
}
