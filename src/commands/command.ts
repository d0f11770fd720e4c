/** A command of `vram-worker`. Resolves with its exit status. */
export type Command = (args: readonly string[]) => Promise<number>;

/** A command that has its own help text. `--help` of the program describes the others. */
export interface DocumentedCommand {
  readonly run: Command;
  /** Ends in a newline. Its first paragraph is the usage. */
  readonly help: string;
}

/** Invalid usage of a command. */
export class UsageError extends Error {}

/** A file that the command needs is unreadable or invalid. */
export class InputError extends Error {}
