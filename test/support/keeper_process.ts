import { randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type Run, run, runThrough } from './process.js';
import { until } from './until.js';

/** The socket and the token of a keeper, and the settings that name them. */
export interface KeeperFiles {
  readonly directory: string;
  readonly path: string;
  readonly token: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Creates the token of a keeper in a directory. */
export function keeperFiles(directory: string): KeeperFiles {
  const [path, tokenFile] = [join(directory, 'keeper.sock'), join(directory, 'keeper.token')];
  const token = randomBytes(32).toString('hex');
  writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
  return { directory, path, token, env: { WORKER_KEEPER_SOCKET: path, WORKER_KEEPER_TOKEN_FILE: tokenFile } };
}

/** Starts `vram-worker keep`. Resolves when it is ready. `through` is a command that runs it. */
export async function startKeeperProcess(
  t: Test,
  { directory, env }: KeeperFiles,
  args: readonly string[] = [],
  through: readonly string[] = [],
): Promise<Run> {
  const keeper = runThrough(t, { directory, args: ['keep', ...args], env, through });
  let status: unknown;
  void keeper.exited.then((value) => {
    status = value;
  });
  await until(() => /the keeper is ready/.test(keeper.output()) || status !== undefined, 'the keeper is not ready');
  if (status !== undefined) throw new Error(`the keeper ended with ${status}: ${keeper.errors()}`);
  return keeper;
}

/** Runs a command of a keeper to its end. */
export async function askKeeper(t: Test, { directory, env }: KeeperFiles, ...args: readonly string[]) {
  const { exited, output, errors } = run(t, directory, ['keep', ...args], env);
  return { status: await exited, output: output(), errors: errors() };
}

/** How many descriptors a process has; undefined if only root may look. */
export function descriptorsOf({ child }: Run): number | undefined {
  try {
    return readdirSync(`/proc/${child.pid}/fd`).length;
  } catch {
    return undefined;
  }
}
