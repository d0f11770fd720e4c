import { ConfigError } from '../config/config_error.js';
import { codeOf } from '../errors.js';
import { ExitError, exitStatus } from './exit_status.js';

/** The error that ends the start if a Unix socket cannot be created. `setting` names the socket's path. */
export function socketError(setting: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  if (error.name === 'SocketFileError' || error.name === 'FileInUseError') return new ConfigError(error.message);
  return new ExitError(exitStatus.cannotCreate, `${setting} cannot be created: ${codeOf(error)}`, { cause: error });
}
