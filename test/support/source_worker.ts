import { join } from 'node:path';
import type { Test } from 'tap';
import { SourceRegistry } from '../../src/sources/registry.js';
import type { HttpSettings } from '../../src/sources/settings/schema.js';
import { linesOf } from './audit.js';
import { environmentOf, openedRange } from './http_sources.js';
import { rangeServer } from './range_server.js';
import { post } from './requests.js';
import { temporaryDirectory } from './temporary_directory.js';
import { startWorker, type WorkerOptions } from './worker.js';

export interface SourceWorkerOptions extends WorkerOptions {
  readonly settings?: Partial<HttpSettings>;
}

/** The HTTP source `lab`, below `/models/` of a server. The retries of its transfers do not wait. */
export function labRegistry(origin: string, settings: Partial<HttpSettings> = {}): SourceRegistry {
  const prefixes = [`${origin}/models/`];
  const source: HttpSettings = { name: 'lab', type: 'http', prefixes, addresses: [openedRange], ...settings };
  return new SourceRegistry(environmentOf(), [{ settings: source, files: {} }]);
}

/** A worker with an audit log, and an HTTP server with files below `/models/` as its source. */
export async function sourceWorker(
  t: Test,
  files: Readonly<Record<string, Buffer>>,
  { settings, ...options }: SourceWorkerOptions = {},
) {
  const server = await rangeServer(
    t,
    Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`/models/${name}`, bytes])),
  );
  const auditLog = join(temporaryDirectory(t), 'audit.log');
  const registry = labRegistry(server.origin, settings);
  const worker = await startWorker(t, {
    ...options,
    env: { WORKER_AUDIT_LOG: auditLog, ...options.env },
    residency: { registry, ...options.residency },
  });
  const url = (name: string) => `${server.origin}/models/${name}`;
  const commit = (shardId: string, name: string, fields: object = {}) =>
    post(worker, '/v1/commit', {
      shard_id: shardId,
      model_ref: 'm',
      source: { type: 'http', url: url(name) },
      ...fields,
    });
  const events = (): string[] => linesOf(auditLog).map((line) => JSON.parse(line).event);
  return { server, worker, url, commit, events };
}

/** The requests of a server for the bytes of a file, beyond its first one. */
export const transfersOf = (requests: readonly { readonly path: string; readonly range: string | undefined }[]) =>
  requests.filter(({ path, range }) => !path.endsWith('.sha256') && range !== 'bytes=0-0');
