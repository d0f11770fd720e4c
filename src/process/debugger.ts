import inspector from 'node:inspector';

/**
 * Closes Node's debugger, which exposes the worker's memory, unless a flag asks for it. A SIGUSR1 that arrives before the
 * first line of `main.cts` opens it.
 */
export function closeDebugger(): void {
  const flags = [...process.execArgv, process.env.NODE_OPTIONS ?? ''];
  if (inspector.url() !== undefined && !flags.some((flag) => flag.includes('--inspect'))) inspector.close();
}
