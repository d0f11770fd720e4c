import type { Logger } from 'pino';
import type { AttachServer } from '../attach/attach_server.js';
import type { Config } from '../config/load.js';
import { nativePaths } from '../config/native_paths.js';
import { wipe } from '../config/secrets.js';
import { readTls, type TlsFiles } from '../config/tls_files.js';
import { type App, buildApp } from '../http/app.js';
import { Tokens, tokensOf } from '../http/plugins/tokens.js';
import type { TlsServers } from '../http/server/tls_server.js';
import { PullQueue, type PullQueueOptions } from '../pulls/pull_queue.js';
import type { KeeperOptions } from '../residency/options.js';
import { Residency } from '../residency/residency.js';
import { systemEnvironment } from '../sources/egress/environment.js';
import { SourceRegistry } from '../sources/registry.js';
import { FileCalls } from '../storage/file_calls.js';
import { Uploads } from '../uploads/uploads.js';
import type { ExitDeadline } from '../vram/exit.js';
import type { FileWatch } from './file_watch.js';
import type { WorkerLog } from './logger.js';
import { NodeFeatures } from './node_features.js';
import { reloadOnChange } from './reload.js';
import { socketError } from './socket_error.js';

/** The parts of a worker. */
export interface Worker {
  readonly config: Config;
  readonly logger: Logger;
  readonly residency: Residency;
  readonly pulls: PullQueue;
  readonly watch: FileWatch;
  readonly app: App;
  /** The remote sources. */
  readonly sources: SourceRegistry;
  readonly uploads: Uploads;
  /** The socket of attaching processes; undefined without one. */
  readonly attach: AttachServer | undefined;
  /** The node labels of ready models; undefined without a file for them. */
  readonly nodeFeatures: NodeFeatures | undefined;
  readonly exitDeadline: ExitDeadline;
}

export interface WorkerParts {
  /** Its secrets are wiped. */
  readonly config: Config;
  readonly log: WorkerLog;
  readonly signals: EffectSignals;
  readonly exitDeadline: ExitDeadline;
  /** Runs if the driver is lost. */
  readonly onLost: (error: Error) => void;
}

/** The signals that have an effect on a running worker. */
export interface EffectSignals {
  on(name: 'SIGHUP' | 'SIGUSR2', effect: () => void): void;
}

/** Builds a worker that does not listen yet. */
export async function buildWorker({ config, log, signals, exitDeadline, onLost }: WorkerParts): Promise<Worker> {
  const { logger, droppedLines } = log;
  const sources = openSources(config);
  const residency = residencyOf(config, { sources, logger, onLost });
  const pulls = pullQueueOf(residency, config);
  signals.on('SIGUSR2', scrubSwitch(residency, logger));
  const tokens = new Tokens(tokensOf(config));
  const tls = config.tls && (await openTls(config.tls, config.fileTimeoutSeconds));
  const attach = await openAttach(config, residency, logger);
  // The parts above keep only values derived from the secrets.
  wipe(config.apiToken, config.readToken, config.sealSecret, config.attachToken, config.keeperToken);
  process.once('exit', () => {
    residency.sealKey.wipe();
    tls?.wipe();
  });
  const watch = reloadOnChange({ config, residency, tokens, sources, tls, attach, logger });
  signals.on('SIGHUP', () => {
    if (watch.reloadAll()) logger.info({ signal: 'SIGHUP' }, 'reloading secrets and certificates');
  });
  const uploads = new Uploads(residency, { resumeSeconds: config.uploadResumeSeconds });
  const app = await buildApp({ residency, pulls, config, logger, tokens, uploads, tls, droppedLines });
  const nodeFeatures = nodeFeaturesOf(config, residency, logger);
  return {
    config,
    logger,
    residency,
    pulls,
    sources,
    uploads,
    watch,
    app,
    attach,
    nodeFeatures,
    exitDeadline,
  };
}

/** The residency of a worker, not started yet. */
const residencyOf = (
  config: Config,
  { sources, logger, onLost }: Pick<Worker, 'sources' | 'logger'> & Pick<WorkerParts, 'onLost'>,
): Residency =>
  new Residency({
    ...config,
    registry: sources,
    ...nativePaths(config),
    attach: config.attachSocket !== undefined || config.keeperSocket !== undefined,
    keeper: keeperOf(config),
    log: (level, message, fields) => logger[level](fields, message),
    onLost,
  });

/** The pulls of a worker. */
export const pullQueueOf = (
  { groups }: Residency,
  { pullFiles, pullQueue }: Config,
  options: Partial<PullQueueOptions> = {},
): PullQueue => new PullQueue({ groups, filesAtOnce: pullFiles, queueLimit: pullQueue, ...options });

const nodeFeaturesOf = (
  { nodeFeaturesFile: path, fileTimeoutSeconds }: Config,
  residency: Residency,
  logger: Logger,
) =>
  path === undefined ? undefined : new NodeFeatures({ path, timeoutSeconds: fileTimeoutSeconds, residency, logger });

/** How to reach the keeper; undefined without one. */
export const keeperOf = ({ keeperSocket: path, keeperToken }: Config): KeeperOptions | undefined =>
  path === undefined || keeperToken === undefined ? undefined : { path, token: keeperToken.toString('latin1') };

/** Creates the socket of attaching processes, if the configuration names one. @throws ConfigError, ExitError */
async function openAttach(config: Config, residency: Residency, logger: Logger): Promise<AttachServer | undefined> {
  const { attachSocket: path, attachGroup: group, attachUids: uids, attachToken: token } = config;
  if (path === undefined) return undefined;
  const { AttachServer } = await import('../attach/attach_server.js');
  const { libraryPath } = nativePaths(config);
  const log = (message: string, error: unknown) => logger.error({ err: error }, message);
  try {
    const hasKeeper = config.keeperSocket !== undefined;
    return await AttachServer.open(residency, { path, group, uids, token, libraryPath, hasKeeper, log });
  } catch (error) {
    throw socketError('WORKER_ATTACH_SOCKET', error);
  }
}

/** The remote sources. No connection is opened before a request names one. */
export function openSources(config: Config): SourceRegistry {
  const environment = systemEnvironment({
    connections: config.sourceConnections,
    bytesPerSecond: config.sourceBytesPerSecond,
    minBytesPerSecond: config.sourceMinBytesPerSecond,
  });
  return new SourceRegistry(environment, config.sources.sources);
}

async function openTls(tlsFiles: TlsFiles, timeoutSeconds: number): Promise<TlsServers> {
  const servers = await import('../http/server/tls_server.js');
  return new servers.TlsServers(await readTls(tlsFiles, new FileCalls(timeoutSeconds)));
}

/** Pauses background verification, and resumes it at the next call. */
function scrubSwitch(residency: Residency, logger: Logger): () => void {
  let paused = false;
  return () => {
    paused = !paused;
    residency.pauseScrub(paused);
    logger.warn({ paused }, paused ? 'background verification paused' : 'background verification resumed');
  };
}
