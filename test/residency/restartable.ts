import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { linesOf } from '../support/audit.js';
import { patternBytes } from '../support/bytes.js';
import { shardsListedIn } from '../support/manifest.js';
import { get, post } from '../support/requests.js';
import { temporaryDirectory } from '../support/temporary_directory.js';
import { until } from '../support/until.js';
import { startWorker, type TestWorker, type WorkerOptions } from '../support/worker.js';

/** The files of the model directory. */
export const contents = { a: patternBytes(700_000), b: patternBytes(5000, 2), c: patternBytes(5000, 3) };

export const shardIds = ['a', 'b', 'c'] as const;

/** A directory with models, a manifest and an audit log. Each `start` is a restart of the worker that uses them. */
export function restartable(t: Test) {
  const directory = temporaryDirectory(t);
  const manifest = join(directory, 'manifest.json');
  const auditLog = join(directory, 'audit.log');
  const models = join(directory, 'models');
  mkdirSync(models);
  for (const [name, bytes] of Object.entries(contents)) writeFileSync(join(models, name), bytes);
  const env = { WORKER_MODEL_DIR: models, WORKER_MANIFEST: manifest, WORKER_AUDIT_LOG: auditLog };
  const start = (options: WorkerOptions = {}) => startWorker(t, { ...options, env: { ...env, ...options.env } });
  const entries = () => linesOf(auditLog).map((line) => JSON.parse(line));
  const listed = () => shardsListedIn(manifest);
  return { models, manifest, auditLog, start, entries, listed };
}

export const commit = (worker: TestWorker, shardId: string, path: string, fields: object = {}) =>
  post(worker, '/v1/commit', {
    shard_id: shardId,
    model_ref: `model-${shardId}`,
    source: { type: 'file', path },
    ...fields,
  });

/** Resolves when every shard of the manifest is restored or lost. */
export const untilLoaded = (worker: TestWorker) => until(() => worker.residency.phase !== 'loading');

export const ready = async (worker: TestWorker) => (await get(worker, '/v1/ready')).json();
