import { serve } from '../process/serve.js';
import { expectNone, flag, parseArguments } from './arguments.js';
import type { Command } from './command.js';

/** `vram-worker serve [--simulate]`: resolves when the worker is up. The worker then runs until a signal stops it. */
export const serveCommand: Command = async (args) => {
  const { values, positionals } = parseArguments(args, { simulate: flag });
  expectNone(positionals);
  await serve({ simulate: values.simulate });
  return 0;
};
