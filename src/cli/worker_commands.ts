import { type Commands, runCommandLine } from './command_line.js';

/** The commands that need a worker, a keeper or a GPU. */
const commands: Commands = {
  serve: async () => (await import('../commands/serve.js')).serveCommand,
  keep: async () => (await import('../commands/keep.js')).keepCommand,
  health: async () => (await import('../commands/health.js')).health,
  pull: async () => (await import('../commands/pull.js')).pull,
  push: async () => (await import('../commands/push.js')).push,
  plan: async () => (await import('../commands/plan.js')).plan,
  ls: async () => (await import('../commands/ls.js')).ls,
  verify: async () => (await import('../commands/verify.js')).verify,
  rm: async () => (await import('../commands/rm.js')).rm,
  wait: async () => (await import('../commands/wait.js')).wait,
};

/** Runs one command line. */
export const main = (args: readonly string[]): Promise<void> => runCommandLine(commands, args);
