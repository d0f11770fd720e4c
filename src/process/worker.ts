import type { Logger } from 'pino';
import type { Config } from '../config/load.js';
import { nativePaths } from '../config/native_paths.js';
import { wipe } from '../config/secrets.js';
import { readTls } from '../config/tls_files.js';
import { type App, buildApp } from '../http/app.js';
import { Tokens, tokensOf } from '../http/plugins/tokens.js';
import { Residency } from '../residency/residency.js';
import type { FileWatch } from './file_watch.js';
import { reloadOnChange } from './reload.js';

/** The parts of a worker. */
export interface Worker {
  readonly config: Config;
  readonly logger: Logger;
  readonly residency: Residency;
  readonly watch: FileWatch;
  readonly app: App;
}

/** Builds a worker that does not listen yet. `onLost` runs if the driver is lost. Wipes the secrets in `config`. */
export async function buildWorker(config: Config, logger: Logger, onLost: (error: Error) => void): Promise<Worker> {
  const residency = new Residency({
    ...config,
    ...nativePaths(config),
    log: (level, message, fields) => logger[level](fields, message),
    onLost,
  });
  pauseScrubOnSignal(residency, logger);
  const tokens = new Tokens(tokensOf(config));
  const tls = config.tls && new (await import('../http/server/tls_server.js')).TlsServers(readTls(config.tls));
  // The parts above keep only values derived from the secrets.
  wipe(config.apiToken, config.readToken, config.sealSecret);
  process.once('exit', () => {
    residency.sealKey.wipe();
    tls?.wipe();
  });
  const watch = reloadOnChange({ config, residency, tokens, tls, logger });
  const app = await buildApp({ residency, config, logger, tokens, tls });
  return { config, logger, residency, watch, app };
}

/** SIGUSR2 pauses background verification. The next one resumes it. */
function pauseScrubOnSignal(residency: Residency, logger: Logger): void {
  let paused = false;
  process.on('SIGUSR2', () => {
    paused = !paused;
    residency.pauseScrub(paused);
    logger.warn({ paused }, paused ? 'background verification paused' : 'background verification resumed');
  });
}
