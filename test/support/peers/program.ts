import { spawn } from 'node:child_process';
import type { Test } from 'tap';
import { until } from '../until.js';

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Whether the program serves. Its rejection counts as no. */
  readonly isReady: () => Promise<boolean>;
}

/** From SIGTERM to SIGKILL. */
const killAfterMs = 20_000;

/** Runs a server until the test ends. Resolves when it is ready; rejects with its output if it ends before. */
export async function startProgram(
  t: Pick<Test, 'teardown'>,
  command: readonly [string, ...string[]],
  { cwd, env, isReady }: ProgramOptions,
): Promise<void> {
  const [program, ...args] = command;
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-8192);
    });
  }
  let hasEnded = false;
  const ended = new Promise<void>((resolve) => {
    const end = () => {
      hasEnded = true;
      resolve();
    };
    child.once('close', end).once('error', end);
  });
  t.teardown(async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs);
    await ended;
    clearTimeout(timer);
  });
  await until(async () => {
    if (hasEnded) throw new Error(`${program} ended: ${output}`);
    return await isReady().catch(() => false);
  }, `${program} is ready`);
}
