import { parseArgs } from 'node:util';
import { serve } from '../process/serve.js';
import type { Command } from './command.js';

/** `vram-worker serve [--simulate]`: resolves once the worker is up; it runs until a signal ends it. */
export const serveCommand: Command = async (args) => {
  const { values } = parseArgs({ args: [...args], options: { simulate: { type: 'boolean' } } });
  await serve({ simulate: values.simulate ?? false });
  return 0;
};
