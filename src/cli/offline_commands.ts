import { type Commands, runCommandLine } from './command_line.js';

/** The commands that need only files. `scripts/bundle.mjs` makes them part of `main.cjs`, so that they start fast. */
const commands: Commands = {
  'handle verify': async () => (await import('../commands/handle_verify.js')).handleVerify,
  'audit verify': async () => (await import('../commands/audit_verify.js')).auditVerify,
};

/** Runs one command line. */
export const main = (args: readonly string[]): Promise<void> => runCommandLine(commands, args);
