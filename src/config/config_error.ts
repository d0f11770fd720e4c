/** An invalid setting. The message names it, and shows no value that could be a secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** A file of the worker cannot be created. The message names it and the reason. */
export class FileCreationError extends Error {
  override readonly name = 'FileCreationError';
}
