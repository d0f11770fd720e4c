import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { keeperToken, startKeeper } from '../../support/keeper.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { until } from '../../support/until.js';
import type { TestWorker, WorkerOptions } from '../../support/worker.js';
import { restartable } from '../restartable.js';

interface Entry {
  readonly event: string;
  readonly shard_id: string;
  readonly [field: string]: unknown;
}

/** As `restartable`, with an attach socket, and a keeper in this process. */
export async function keepable(t: Test) {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'keeper.sock');
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, `${keeperToken}\n`, { mode: 0o600 });
  const socket = join(directory, 'attach.sock');
  const env = { WORKER_KEEPER_SOCKET: path, WORKER_KEEPER_TOKEN_FILE: tokenFile, WORKER_ATTACH_SOCKET: socket };
  const base = restartable(t);
  const start = (options: WorkerOptions = {}) => base.start({ ...options, env: { ...env, ...options.env } });
  const events = (...names: string[]): Entry[] => base.entries().filter(({ event }) => names.includes(event));
  const hashes = `${base.manifest}.hashes`;
  const hashFiles = () => (existsSync(hashes) ? readdirSync(hashes).map((name) => join(hashes, name)) : []);
  return { ...base, start, events, path, socket, hashFiles, keeper: () => startKeeper(t, { path }) };
}

/** Resolves when the worker has reached the keeper. */
export async function untilConnected(worker: TestWorker): Promise<TestWorker> {
  await until(() => worker.residency.keeping.isConnected, 'the worker did not reach the keeper');
  return worker;
}
