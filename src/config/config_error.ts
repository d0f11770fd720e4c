/** A setting that is wrong. The message names it, and never its value where that may be a secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}
