import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance, FastifyPluginAsync, InjectOptions, LightMyRequestResponse } from 'fastify';
import fp from 'fastify-plugin';
import type { DestinationStream, Logger } from 'pino';
import type { Test } from 'tap';
import { AttachServer } from '../../src/attach/attach_server.js';
import { type Config, loadConfig } from '../../src/config/load.js';
import { readTls } from '../../src/config/tls_files.js';
import { buildApp } from '../../src/http/app.js';
import type { DroppedLines } from '../../src/http/plugins/dropped_lines.js';
import { Tokens, tokensOf } from '../../src/http/plugins/tokens.js';
import { TlsServers } from '../../src/http/server/tls_server.js';
import { createLogger } from '../../src/process/logger.js';
import { keeperOf, openSources, pullQueueOf } from '../../src/process/worker.js';
import type { PullQueue, PullQueueOptions } from '../../src/pulls/pull_queue.js';
import type { ResidencyOptions } from '../../src/residency/options.js';
import { Residency } from '../../src/residency/residency.js';
import { FileCalls } from '../../src/storage/file_calls.js';
import { documentedErrors } from './documented_errors.js';
import { driverPath, kernelsPath, nativeDirectory } from './simulator.js';

const libraryPath = join(nativeDirectory, 'libvram.so');

/** The operator's bearer token in tests. */
export const token = 'test-token-0123456789abcdef0123456789';

export interface TestWorker {
  readonly app: FastifyInstance;
  readonly residency: Residency;
  readonly pulls: PullQueue;
  readonly config: Config;
  readonly tls: TlsServers | undefined;
  readonly tokens: Tokens;
  /** `http://127.0.0.1:port`, or `https:`. Empty if the worker does not listen. */
  readonly url: string;
  readonly directory: string;
  readonly token: string;
  /** Sends a request with the token, without a socket. */
  readonly inject: (options: InjectOptions) => Promise<LightMyRequestResponse>;
  readonly stop: () => Promise<void>;
}

export interface WorkerOptions {
  /** Settings, as environment variables. */
  readonly env?: NodeJS.ProcessEnv;
  readonly listen?: boolean;
  /** `false` does not start the devices. */
  readonly start?: boolean;
  readonly onLost?: (error: Error) => void;
  /** The clock of reservations. */
  readonly monotonicMs?: () => number;
  /** Options of `Residency` beyond the settings. */
  readonly residency?: Partial<ResidencyOptions>;
  /** Options of `PullQueue` beyond the settings. */
  readonly pulls?: Partial<PullQueueOptions>;
  /** Receives log lines. */
  readonly log?: (line: string) => void;
  /** Receives log lines, in place of `log`. */
  readonly stream?: DestinationStream;
  readonly droppedLines?: DroppedLines;
  readonly generator?: FastifyPluginAsync;
}

/** Starts a worker on the simulated driver in this process. Stops it after the test. */
export async function startWorker(t: Pick<Test, 'teardown'>, options: WorkerOptions = {}): Promise<TestWorker> {
  const directory = mkdtempSync(join(tmpdir(), 'vram-worker-'));
  const config = await configOf(directory, options.env);
  const residency = residencyOf(config, options);
  const write = options.log ?? (() => undefined);
  const logger = createLogger(options.log || options.stream ? 'trace' : 'silent', options.stream ?? { write });
  const tls = config.tls && new TlsServers(await readTls(config.tls, new FileCalls(config.fileTimeoutSeconds)));
  const undocumented = new Set<string>();
  const generator = generatorOf(undocumented, options.generator);
  const pulls = pullQueueOf(residency, config, options.pulls);
  const tokens = new Tokens(tokensOf(config));
  const optional = options.droppedLines ? { droppedLines: options.droppedLines } : {};
  const app = await buildApp({ residency, pulls, config, logger, tls, tokens, generator, ...optional });
  if (options.start ?? true) await residency.start();
  const attach = await attachServerOf(residency, config, logger);
  attach?.start();
  const url = options.listen ? await app.listen({ host: '127.0.0.1', port: 0 }) : '';

  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= stopAll({ app, residency, pulls, attach, directory });
    return stopped;
  };
  t.teardown(async () => {
    await stop();
    if (undocumented.size > 0)
      throw new Error(`errors that the OpenAPI document lacks: ${[...undocumented].join(', ')}`);
  });
  const inject = (request: InjectOptions) =>
    app.inject({ ...request, headers: { authorization: `Bearer ${token}`, ...request.headers } });
  return { app, residency, pulls, config, tls, tokens, url, directory, token, inject, stop };
}

function configOf(directory: string, env: NodeJS.ProcessEnv | undefined): Promise<Config> {
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
  // Each slot has pinned memory, whose allocation would take most of the time of a start.
  const defaults = { WORKER_ID: 'worker-1', WORKER_API_TOKEN_FILE: tokenFile, WORKER_COMMIT_SLOTS: '4' };
  return loadConfig({ ...defaults, ...env }, { simulate: true, directory });
}

function residencyOf(config: Config, options: WorkerOptions): Residency {
  return new Residency({
    ...config,
    registry: openSources(config),
    driverKind: 'simulated',
    attach: config.attachSocket !== undefined || config.keeperSocket !== undefined,
    keeper: keeperOf(config),
    libraryPath,
    driverPath,
    kernelsPath,
    minCudaVersion: 0,
    onLost: options.onLost ?? (() => undefined),
    ...(options.monotonicMs === undefined ? {} : { monotonicMs: options.monotonicMs }),
    ...options.residency,
  });
}

/** Registers the given plugin, and collects the errors of responses that the OpenAPI document lacks. */
const generatorOf = (undocumented: Set<string>, generator: FastifyPluginAsync | undefined) =>
  fp(async (instance: FastifyInstance) => {
    await instance.register(documentedErrors((error) => undocumented.add(error)));
    if (generator !== undefined) await instance.register(generator);
  });

async function attachServerOf(residency: Residency, config: Config, logger: Logger): Promise<AttachServer | undefined> {
  const { attachSocket: path, attachGroup: group, attachUids: uids, attachToken } = config;
  if (path === undefined) return undefined;
  const log = (message: string, error: unknown) => logger.error({ err: error }, message);
  const hasKeeper = config.keeperSocket !== undefined;
  return AttachServer.open(residency, { path, group, uids, token: attachToken, libraryPath, hasKeeper, log });
}

interface WorkerParts extends Pick<TestWorker, 'app' | 'residency' | 'pulls' | 'directory'> {
  readonly attach: AttachServer | undefined;
}

async function stopAll({ app, residency, pulls, attach, directory }: WorkerParts): Promise<void> {
  pulls.drain();
  app.server.closeAllConnections();
  await app.close();
  attach?.announceDraining();
  // A lost driver cannot wipe memory.
  await residency.stop().catch((error: unknown) => {
    if (!residency.isLost) throw error;
  });
  await attach?.close();
  rmSync(directory, { recursive: true, force: true });
}
