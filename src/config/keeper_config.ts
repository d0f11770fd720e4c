import { FileCalls } from '../storage/file_calls.js';
import { ConfigError } from './config_error.js';
import { checkNames, readSetting } from './load.js';
import { requireResponse } from './mount_probe.js';
import { readKeeperToken } from './secrets.js';
import { settings } from './settings.js';
import { requireTrustedDirectories } from './trusted_directories.js';

/** The settings of `vram-worker keep`. It ignores those of the worker, so that both can have the same environment. */
export interface KeeperConfig {
  readonly keeperSocket: string;
  readonly keeperTokenFile: string;
  readonly keeperToken: Buffer;
  readonly fileTimeoutSeconds: number;
  readonly logLevel: string;
}

/** Reads and checks the settings. @throws ConfigError that names the variable, FileTimeoutError */
export async function loadKeeperConfig(environment: Readonly<NodeJS.ProcessEnv>): Promise<KeeperConfig> {
  checkNames(environment);
  const keeperSocket = readSetting(settings.keeperSocket, environment);
  const keeperTokenFile = readSetting(settings.keeperTokenFile, environment);
  const fileTimeoutSeconds = readSetting(settings.fileTimeoutSeconds, environment);
  if (keeperSocket === undefined) throw new ConfigError('WORKER_KEEPER_SOCKET is not set');
  if (keeperTokenFile === undefined) throw new ConfigError('WORKER_KEEPER_TOKEN_FILE is not set');
  const named = [
    [settings.keeperSocket.name, keeperSocket],
    [settings.keeperTokenFile.name, keeperTokenFile],
  ] as const;
  await Promise.all(named.map(([name, path]) => requireResponse(name, path, fileTimeoutSeconds)));
  const files = new FileCalls(fileTimeoutSeconds);
  for (const [name, path] of named) await requireTrustedDirectories(name, path, files);
  const keeperToken = await readKeeperToken({ keeperTokenFile }, files);
  if (keeperToken === undefined) throw new ConfigError('WORKER_KEEPER_TOKEN_FILE is not set');
  const logLevel = readSetting(settings.logLevel, environment);
  return { keeperSocket, keeperTokenFile, keeperToken, fileTimeoutSeconds, logLevel };
}
