import { parseArgs } from 'node:util';
import { serve } from '../process/serve.js';
import type { Command } from './command.js';

/** `vram-worker serve [--simulate]`: resolves when the worker is up. The worker then runs until a signal stops it. */
export const serveCommand: Command = async (args) => {
  const { values } = parseArgs({ args: [...args], options: { simulate: { type: 'boolean' } } });
  await serve({ simulate: values.simulate ?? false });
  return 0;
};
