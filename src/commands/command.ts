/** One command of the command line; resolves with the exit status. */
export type Command = (args: readonly string[]) => Promise<number>;

/** The command line is not one that the command takes. */
export class UsageError extends Error {}

/** A file that the command needs can not be read. */
export class InputError extends Error {}
