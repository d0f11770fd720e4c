import { readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';
import t from 'tap';
import { patternBytes } from '../support/bytes.js';
import { startProcess, temporaryDirectory } from '../support/process.js';
import { onSimulator } from '../support/simulator.js';
import { until } from '../support/until.js';

/** Resource of prlimit(2), include/uapi/asm-generic/resource.h, and `struct rlimit64`. */
const RLIMIT_NOFILE = 7;
const rlimitBytes = 16;
const prlimit = koffi.load(null).func('int prlimit(int pid, int resource, uint8_t *next, uint8_t *previous)');

/** Sets the soft limit of open files of a process. Returns the previous one. */
function limitFiles(pid: number, soft: bigint): bigint {
  const limits = Buffer.alloc(rlimitBytes);
  if (prlimit(pid, RLIMIT_NOFILE, null, limits) !== 0) throw new Error('prlimit failed');
  const before = limits.readBigUInt64LE();
  limits.writeBigUInt64LE(soft);
  if (prlimit(pid, RLIMIT_NOFILE, limits, null) !== 0) throw new Error('prlimit failed');
  return before;
}

t.test('a process without a free descriptor keeps its shards, and recovers', onSimulator, async (t) => {
  const directory = temporaryDirectory(t);
  const tokenFile = join(directory, 'token');
  const token = 'a'.repeat(40);
  writeFileSync(tokenFile, token, { mode: 0o600 });
  const env = {
    WORKER_API_TOKEN_FILE: tokenFile,
    WORKER_AUDIT_LOG: join(directory, 'audit.jsonl'),
    WORKER_MANIFEST: join(directory, 'manifest'),
  };
  const worker = await startProcess(t, directory, env);
  const { pid = 0 } = worker.child;
  const ask = (path: string, bearer: string, init: RequestInit = {}) =>
    fetch(worker.url + path, { ...init, headers: { authorization: `Bearer ${bearer}` } });
  const upload = { method: 'PUT', body: patternBytes(5000) };
  t.equal((await ask('/v1/commit?shard_id=a&model_ref=m', token, upload)).status, 201);
  const before = limitFiles(pid, 3n);
  const successor = 'b'.repeat(40);
  writeFileSync(join(directory, 'new'), successor, { mode: 0o600 });
  renameSync(join(directory, 'new'), tokenFile);
  await until(() => /"files":"tokens".*EMFILE/.test(worker.output()));
  // Each periodic task of the worker runs at least once.
  await sleep(12_000);
  t.ok(readdirSync(`/proc/${pid}/task`).length > 0, 'it lives');
  t.notMatch(worker.output(), /unexpected error/);
  limitFiles(pid, before);
  await until(() => /"files":"tokens","msg":"reloaded"/.test(worker.output()));
  t.equal((await ask('/v1/devices', successor)).status, 200, 'the file is read again without another change');
  t.equal((await ask('/v1/devices', token)).status, 401);
  await until(async () => (await ask('/v1/ready', successor)).status === 200);
  t.match(await (await ask('/v1/shards/a/verify', successor, { method: 'POST' })).json(), { verified: true });
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
});
