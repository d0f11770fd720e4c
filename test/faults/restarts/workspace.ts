import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { startProcess, temporaryDirectory, type WorkerProcess } from '../../support/process.js';
import { until } from '../../support/until.js';

export interface Answer {
  readonly status: number;
  readonly requestId: string;
  readonly body: {
    readonly code?: string;
    readonly detail?: string;
    readonly state?: string;
    readonly handle?: string;
    readonly valid?: boolean;
    readonly reasons?: readonly { readonly code: string; readonly detail: string }[];
    readonly shards?: readonly { readonly shard_id: string; readonly state: string }[];
    readonly handles?: readonly { readonly handle: string }[];
  };
}

/** Sends a request. Rejects with TypeError if the connection is lost before the answer. */
export async function ask(worker: WorkerProcess, method: string, path: string, body?: object): Promise<Answer> {
  const json = body === undefined ? {} : { 'content-type': 'application/json' };
  const answer = await fetch(worker.url + path, {
    method,
    headers: { authorization: worker.authorization, ...json },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  const requestId = answer.headers.get('x-request-id') ?? '';
  return { status: answer.status, requestId, body: text === '' ? {} : JSON.parse(text) };
}

/** Commits the file `model` of the model directory. */
export const commit = (worker: WorkerProcess, shardId: string): Promise<Answer> =>
  ask(worker, 'POST', '/v1/commit', { shard_id: shardId, model_ref: 'm', source: { type: 'file', path: 'model' } });

export const release = (worker: WorkerProcess, shardId: string): Promise<Answer> =>
  ask(worker, 'DELETE', `/v1/shards/${shardId}`);

/** The ids of the sealed shards. */
export async function sealedIds(worker: WorkerProcess): Promise<string[]> {
  const { body } = await ask(worker, 'GET', '/v1/shards?state=sealed');
  return (body.shards ?? []).map(({ shard_id }) => shard_id).sort();
}

export const untilRestored = (worker: WorkerProcess) =>
  until(async () => (await ask(worker, 'GET', '/v1/ready')).body.state === 'ready', 'the restore has not ended');

export const untilHealthy = (worker: WorkerProcess) =>
  until(async () => (await ask(worker, 'GET', '/readyz')).status === 200, 'the worker is not healthy');

/** A folder with a model and an own token. Each `start` is a restart of the worker that uses them. */
export function workspace(t: Test, settings: NodeJS.ProcessEnv) {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, 'models'));
  writeFileSync(join(directory, 'models', 'model'), patternBytes(700_000));
  const env = { WORKER_MODEL_DIR: 'models', WORKER_LOG_LEVEL: 'error', ...settings };
  const start = (more: NodeJS.ProcessEnv = {}) => startProcess(t, directory, { ...env, ...more });
  return { directory, start };
}

/** Ends a worker as a crash does. */
export async function kill(worker: WorkerProcess): Promise<void> {
  worker.child.kill('SIGKILL');
  await worker.exited;
}

export interface SmallDisk {
  readonly directory: string;
  /** Takes all free space. */
  readonly fill: () => void;
  readonly free: () => void;
}

/** A new file system of 4 MiB. Undefined if this user may not mount one. */
export function smallDisk(t: Test): SmallDisk | undefined {
  const directory = temporaryDirectory(t);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=0700', 'none', directory], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  t.teardown(() => execFileSync('umount', ['-l', directory]));
  const filler = join(directory, 'filler');
  const fill = () => {
    for (let bytes = 1024 * 1024; bytes >= 1; bytes = Math.floor(bytes / 2)) {
      try {
        for (;;) writeFileSync(filler, Buffer.alloc(bytes), { flag: 'a' });
      } catch {
        // A smaller piece may fit.
      }
    }
  };
  return { directory, fill, free: () => rmSync(filler) };
}
