import { ConfigError } from '../config/config_error.js';
import { maxOpenFiles } from '../runtime/open_files.js';

/** The limit of open files. Node.js has raised it to the hard limit. @throws ConfigError if it is below `least` */
export function requireOpenFiles(least: number): number {
  const limit = maxOpenFiles();
  if (limit >= least) return limit;
  throw new ConfigError(`the hard limit of open files is too low: raise it from ${limit} to ${least}`);
}
