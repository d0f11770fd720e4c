import type { Logger } from 'pino';
import { type KeeperConfig, loadKeeperConfig } from '../config/keeper_config.js';
import { nativeLibrary } from '../config/native_paths.js';
import { readKeeperToken, wipe } from '../config/secrets.js';
import { KeeperServer } from '../keeper/keeper_server.js';
import { ExitDeadline } from '../vram/exit.js';
import { forbidCoreDumps } from '../vram/process.js';
import { closeDebugger } from './debugger.js';
import { exitStatus } from './exit_status.js';
import { FileWatch, reportTo } from './file_watch.js';
import { openLog } from './logger.js';
import { requireOpenFiles } from './open_files.js';
import { exitAfterFlush } from './shutdown.js';
import signalsModule from './signals.cjs';
import { socketError } from './socket_error.js';

/** Descriptors for everything but memory: connections, files, libraries, and one message of any size. */
const reservedDescriptors = 512;
const minDescriptors = 64;
const maxDescriptors = 16_384;

/** How long the end may take. */
const stopMs = 5000;

/**
 * Runs the keeper until SIGTERM or SIGINT. Resolves when it accepts connections.
 * @throws ConfigError, FileTimeoutError, ExitError
 */
export async function keep({ holdSeconds }: { holdSeconds: number }): Promise<void> {
  const { signals } = signalsModule;
  closeDebugger();
  new ExitDeadline(nativeLibrary()).afterStopSignal(stopMs, exitStatus.late);
  const coreDumpsOff = forbidCoreDumps();
  const config = await loadKeeperConfig(process.env);
  const { logger } = openLog(config.logLevel);
  if (!coreDumpsOff) logger.warn('core dumps could not be disabled: a core file would contain the token');
  const limit = descriptorLimit();
  const keeper = await open(config, { holdSeconds, maxDescriptors: limit, logger });
  wipe(config.keeperToken);
  const watch = watchToken(config, keeper, logger);
  signals.on('SIGHUP', () => void watch.reloadAll());
  process.on('uncaughtException', (error) => {
    logger.fatal({ err: error }, 'unexpected error: exiting');
    void exitAfterFlush(exitStatus.lost);
  });
  logger.info({ hold_seconds: holdSeconds, max_descriptors: limit }, 'the keeper is ready');
  void signals.stop.then((signal) => stop(keeper, watch, logger, signal));
}

/** @throws ConfigError */
const descriptorLimit = (): number =>
  Math.min(maxDescriptors, requireOpenFiles(reservedDescriptors + minDescriptors) - reservedDescriptors);

interface OpenOptions {
  readonly holdSeconds: number;
  readonly maxDescriptors: number;
  readonly logger: Logger;
}

async function open({ keeperSocket, keeperToken }: KeeperConfig, { logger, ...limits }: OpenOptions) {
  try {
    return await KeeperServer.open({
      ...limits,
      path: keeperSocket,
      token: keeperToken,
      libraryPath: nativeLibrary(),
      log: (level, message, fields) => logger[level](fields, message),
    });
  } catch (error) {
    throw socketError('WORKER_KEEPER_SOCKET', error);
  }
}

/** Reloads the token when its file changes: a restart would lose the memory. */
function watchToken(config: KeeperConfig, keeper: KeeperServer, logger: Logger): FileWatch {
  const group = {
    name: 'keeper token',
    paths: [config.keeperTokenFile],
    reload: async (files: Parameters<typeof readKeeperToken>[1]) => {
      const token = await readKeeperToken(config, files);
      const isChanged = token !== undefined && keeper.replaceToken(token);
      wipe(token);
      return isChanged;
    },
  };
  return new FileWatch([group], {
    timeoutSeconds: config.fileTimeoutSeconds,
    report: reportTo(logger),
  });
}

async function stop(keeper: KeeperServer, watch: FileWatch, logger: Logger, signal: string): Promise<never> {
  logger.info({ signal, count: keeper.allocationCount }, 'stopping: the memory stays with the processes that have it');
  watch.close();
  await keeper.close().catch((error: unknown) => logger.error({ err: error }, 'the socket cannot be removed'));
  return exitAfterFlush(0);
}
