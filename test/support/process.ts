import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { main } from './paths.js';

export { temporaryDirectory } from './temporary_directory.js';

/** A command of `vram-worker` that runs. */
export interface Run {
  readonly child: ChildProcess;
  /** What it has written to standard output so far. */
  readonly output: () => string;
  /** What it has written to standard error so far. */
  readonly errors: () => string;
  /** Resolves with the exit status, or the name of the signal, once all output was read. */
  readonly exited: Promise<number | string | null>;
}

export interface WorkerProcess extends Run {
  readonly url: string;
  readonly directory: string;
  /** The value of the header `Authorization`. */
  readonly authorization: string;
}

/** A command of `vram-worker` that another command runs, such as `faketime`. */
interface WrappedCommand {
  readonly directory: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly through: readonly string[];
}

/** Runs `vram-worker` in a directory until the test ends. */
export const run = (t: Test, directory: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Run =>
  runThrough(t, { directory, args, env, through: [] });

export function runThrough(t: Test, { directory, args, env = {}, through }: WrappedCommand): Run {
  const base = { PATH: process.env.PATH, CUDA_SIM_DEVICES: '256MiB,256MiB', CUDA_SIM_ENGINE: 'fast' };
  // tap adds hooks to NODE_OPTIONS, which an operator's shell would not have. SIGXFSZ kills a process that has them.
  const command = ['-u', 'NODE_OPTIONS', ...through, process.execPath, main, ...args];
  const child = spawn('env', command, { cwd: directory, env: { ...base, ...env }, stdio: 'pipe' });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const exited = new Promise<number | string | null>((resolve) => {
    child.once('close', (status, signal) => resolve(status ?? signal));
  });
  t.teardown(() => void child.kill('SIGKILL'));
  return { child, output: () => output, errors: () => errors, exited };
}

/**
 * The environment of a worker whose driver calls fail after its start. The rules count calls from the end of the
 * self-test of the second device.
 */
export const faultsAfterStart = (rules: string): NodeJS.ProcessEnv => ({
  CUDA_SIM_FAULTS: rules,
  CUDA_SIM_FAULTS_AFTER: 'cuMemAddressFree:2',
});

/** Starts a worker on a simulated GPU and a free port. Resolves when it listens. `through` is a command that runs it. */
export async function startProcess(
  t: Test,
  directory: string,
  env: NodeJS.ProcessEnv = {},
  through: readonly string[] = [],
): Promise<WorkerProcess> {
  const settings = { WORKER_BIND_ADDR: '127.0.0.1:0', ...env };
  const started = runThrough(t, { directory, args: ['serve', '--simulate'], env: settings, through });
  const { child, output, errors, exited } = started;
  const url = await new Promise<string>((resolve, reject) => {
    const look = () => {
      const address = /docs +(https?:\S+)\/docs/.exec(output())?.[1];
      if (address !== undefined) resolve(address);
    };
    child.stdout?.on('data', look);
    void exited.then((status) => reject(new Error(`the worker ended with ${status}: ${errors()}`)));
  });
  const tokenFile = env.WORKER_API_TOKEN_FILE ?? join(directory, '.worker', 'token');
  const authorization = `Bearer ${readFileSync(tokenFile, 'utf8').trim()}`;
  return { ...started, url, directory, authorization };
}
