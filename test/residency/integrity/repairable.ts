import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { linesOf } from '../../support/audit.js';
import { patternBytes } from '../../support/bytes.js';
import { get, mebibyte, post } from '../../support/requests.js';
import { temporaryDirectory } from '../../support/temporary_directory.js';
import { until } from '../../support/until.js';
import { startWorker, type TestWorker, type WorkerOptions } from '../../support/worker.js';

export const groupBytes = 512 * 1024;

/** The content of the shard `a`. */
export const bytes = patternBytes(3 * mebibyte + 5);

/** A worker with a shard `a` that it can repair from the file at `path`. */
export interface RepairableShard {
  readonly worker: TestWorker;
  readonly models: string;
  readonly path: string;
  readonly auditLog: string;
  readonly handle: string;
}

/** Starts a worker that retries a failed repair after 5 ms, twice, and commits the shard `a` from a file. */
export async function startRepairable(t: Test, options: WorkerOptions = {}): Promise<RepairableShard> {
  const directory = temporaryDirectory(t);
  const models = join(directory, 'models');
  const path = join(models, 'model.bin');
  mkdirSync(models);
  writeFileSync(path, bytes);
  const auditLog = join(directory, 'audit.log');
  const worker = await startWorker(t, {
    residency: { repairBackoffMs: [5, 5] },
    ...options,
    env: { WORKER_MODEL_DIR: models, WORKER_AUDIT_LOG: auditLog, ...options.env },
  });
  const answer = await commitFile(worker);
  return { worker, models, path, auditLog, handle: String(answer.json().handle) };
}

export const commitFile = (worker: TestWorker) =>
  post(worker, '/v1/commit', { shard_id: 'a', model_ref: 'm', source: { type: 'file', path: 'model.bin' } });

export const verify = async (worker: TestWorker) => (await post(worker, '/v1/shards/a/verify')).json();

export const entriesOf = (auditLog: string) => linesOf(auditLog).map((line) => JSON.parse(line));

/** The detail of the first reason why the worker is not ready. */
export const firstDetail = async (worker: TestWorker): Promise<string> =>
  (await get(worker, '/v1/ready')).json().reasons[0]?.detail ?? '';

/** Resolves when the shard `a` is sealed. */
export const untilSealed = (worker: TestWorker) => until(() => worker.residency.shard('a').state === 'sealed');

/** Resolves when the worker has given up the repair. */
export const untilGivenUp = (worker: TestWorker) => until(async () => /repairs failed/.test(await firstDetail(worker)));
