import type { Logger } from 'pino';
import { ConfigError } from '../config/config_error.js';
import { type Config, loadConfig } from '../config/load.js';
import { outcomeOf } from '../errors.js';
import { closeGracefully } from '../http/plugins/graceful_close.js';
import { forbidCoreDumps } from '../vram/process.js';
import { banner } from './banner.js';
import { createLogger } from './logger.js';
import { exitOnLoss, shutDown } from './shutdown.js';
import { StopSignals } from './signals.js';
import { buildWorker, type Worker } from './worker.js';

/**
 * Runs the worker until SIGTERM or SIGINT. It listens before the devices are up, so that `livez` answers early.
 * @throws ConfigError for an invalid setting or manifest, Error if there is no usable GPU
 */
export async function serve({ simulate }: { simulate: boolean }): Promise<void> {
  const signals = new StopSignals();
  const coreDumpsOff = forbidCoreDumps();
  const config = loadConfig(process.env, { simulate, directory: process.cwd() });
  const logger = openLog(config, coreDumpsOff);
  // Until the devices are up, `startDevices` reports a lost driver.
  let onLost = (_error: Error): void => undefined;
  const worker = await buildWorker(config, logger, (error) => onLost(error));
  const address = await worker.app.listen({ host: config.bindHost, port: config.bindPort });
  await startDevices(worker);
  onLost = (error) => void exitOnLoss(worker, error);
  void signals.first.then((signal) => shutDown(worker, signals, signal));
  process.stdout.write(banner(config, address));
}

function openLog({ logLevel, warnings }: Config, coreDumpsOff: boolean): Logger {
  const logger = createLogger(logLevel);
  if (!coreDumpsOff) logger.warn('core dumps could not be disabled: a core file would contain the keys');
  for (const warning of warnings) logger.warn(warning);
  return logger;
}

async function startDevices({ app, config, residency, logger }: Worker): Promise<void> {
  try {
    await residency.start();
  } catch (error) {
    await closeGracefully(app, 0);
    throw startError(error, config.simulate);
  }
  if (!residency.simulated) return;
  logger.warn({ driver: residency.driver }, 'the GPU is simulated: no weights are in GPU memory');
}

function startError(error: unknown, simulate: boolean): unknown {
  if (!(error instanceof Error)) return error;
  if (error.name === 'ManifestError') return new ConfigError(error.message);
  if (outcomeOf(error) === 'NOT_FOUND') return new ConfigError(`WORKER_GPU_DEVICES is invalid: ${error.message}`);
  const hint = simulate ? '' : ': run with --simulate to use a simulated one';
  return new Error(`no usable GPU: ${error.message}${hint}`, { cause: error });
}
