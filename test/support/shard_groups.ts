import { join } from 'node:path';
import type { Test } from 'tap';
import type { GroupRequest } from '../../src/residency/commit/group_admission.js';
import type { CommitRequest } from '../../src/residency/commit/request.js';
import type { ShardGroup } from '../../src/residency/commit/shard_group.js';
import { isDigest } from '../../src/seal/digest.js';
import { patternBytes } from './bytes.js';
import { FailingFiles } from './failing_files.js';
import { get, sha256 } from './requests.js';
import { temporaryDirectory } from './temporary_directory.js';
import { startWorker, type TestWorker } from './worker.js';

export const actor = { name: 'test', requestId: 'test' };
/** The files of a model. */
export const contents = [patternBytes(700_000), patternBytes(1_300_000, 2), patternBytes(5000, 3)] as const;

function requestOf(bytes: Buffer, shardIndex: number, totalShards: number): CommitRequest {
  const digest = sha256(bytes);
  if (!isDigest(digest)) throw new Error('not a digest');
  const identity = { shardId: `m-${shardIndex}`, modelRef: 'model', shardIndex, totalShards };
  return { ...identity, vramBytes: bytes.length, flatDigest: true, expectedDigest: digest };
}

export const shards = contents.map((bytes, index) => requestOf(bytes, index, contents.length));

export const admit = (worker: TestWorker, request: Partial<GroupRequest> = {}): ShardGroup =>
  worker.residency.groups.admit({ shards, ...request }, actor);

/** Receives a file of a group, and proves it. */
export async function receive(
  group: ShardGroup,
  index: number,
  bytes = contents[index] ?? Buffer.alloc(0),
): Promise<void> {
  const ingest = group.begin(index);
  await ingest.start();
  try {
    await ingest.write(bytes);
  } catch (error) {
    await ingest.abort(error);
  }
  await ingest.finish();
}

export const states = async (worker: TestWorker): Promise<string[]> =>
  (await get(worker, '/v1/shards')).json().shards.map(({ state }: { state: string }) => state);

/** A worker with an audit log and a manifest. */
export async function startWithFiles(t: Test) {
  const directory = temporaryDirectory(t);
  const [log, manifest] = [join(directory, 'audit.log'), join(directory, 'manifest')];
  const files = FailingFiles.below(t, directory);
  const worker = await startWorker(t, { env: { WORKER_AUDIT_LOG: log, WORKER_MANIFEST: manifest } });
  return { worker, log, manifest, files };
}
