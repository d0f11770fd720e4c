import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { main } from './paths.js';

export interface WorkerProcess {
  readonly child: ChildProcess;
  readonly url: string;
  readonly directory: string;
  readonly authorization: string;
  /** What it has written to standard output so far. */
  readonly output: () => string;
  readonly errors: () => string;
  /** Resolves with the exit status, or the signal's name. */
  readonly exited: Promise<number | string | null>;
}

interface Run {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly errors: () => string;
  readonly exited: Promise<number | string | null>;
}

/** Runs the command as a person would, in a directory of its own; `through` is a command that runs it in turn. */
export function run(
  t: Test,
  directory: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  through: readonly string[] = [],
): Run {
  const base = { PATH: process.env.PATH, CUDA_SIM_DEVICES: '256MiB,256MiB', CUDA_SIM_ENGINE: 'fast' };
  // As a person's shell would start it: without what tap adds to the processes of its tests, which dies of SIGXFSZ.
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
    child.once('exit', (status, signal) => resolve(status ?? signal));
  });
  t.teardown(() => void child.kill('SIGKILL'));
  return { child, output: () => output, errors: () => errors, exited };
}

export function temporaryDirectory(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'vram-process-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A worker process on a simulated GPU and a free port; resolves when it is up. */
export async function startProcess(
  t: Test,
  directory: string,
  env: NodeJS.ProcessEnv = {},
  through: readonly string[] = [],
): Promise<WorkerProcess> {
  const settings = { WORKER_BIND_ADDR: '127.0.0.1:0', ...env };
  const { child, output, errors, exited } = run(t, directory, ['serve', '--simulate'], settings, through);
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
  return { child, url, directory, authorization, output, errors, exited };
}
