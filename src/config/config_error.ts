/** An invalid setting. The message names it, and shows no value that could be a secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}
