/** A command of `vram-worker`. Resolves with its exit status. */
export type Command = (args: readonly string[]) => Promise<number>;

/** Invalid usage of a command. */
export class UsageError extends Error {}

/** A file that the command needs is unreadable or invalid. */
export class InputError extends Error {}
