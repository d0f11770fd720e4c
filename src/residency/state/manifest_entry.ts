import { type Digest, isDigest } from '../../seal/digest.js';
import { type Expectation, type ExpectedBy, expectations, expectedBySet } from '../../seal/handle.js';
import type { SourceReference } from '../../sources/reference.js';
import { isSourceReference } from '../../sources/reference_check.js';
import { fieldsOf, isCount, isOptional, isText } from './manifest_fields.js';
import type { ShardIdentity } from './snapshot.js';

/** The device memory of a shard, which a keeper may hold after this process has ended. */
export interface ListedMemory {
  readonly allocationId: string;
  readonly gpuUuid: string;
  /** The shard's length, rounded up to the device's granularity. */
  readonly mappedBytes: number;
  /** The length of each part; the last one may be shorter. */
  readonly partBytes: number;
  /** When the memory was first handed over, in milliseconds since the epoch. */
  readonly exportedAtMs: number | null;
  /** The `jti` of the current handle. */
  readonly jti: string;
}

/** The data that a later process needs to restore a shard. */
export interface ManifestEntry extends ShardIdentity {
  readonly gpuDevice: number;
  readonly vramBytes: number;
  /** Pinned; null for an upload, and for a URL with a query, which cannot be read again. */
  readonly source: SourceReference | null;
  readonly digest: Digest | null;
  readonly treeDigest: Digest;
  readonly expected: Expectation;
  readonly expectedBy: ExpectedBy | null;
  /** Entries of workers that could not share memory do not have it, and count as exportable. */
  readonly exportable: boolean;
  /** Null if no keeper can hold the memory. */
  readonly memory: ListedMemory | null;
}

export const entryToJson = (entry: ManifestEntry) => ({
  shard_id: entry.shardId,
  model_ref: entry.modelRef,
  shard_index: entry.shardIndex,
  total_shards: entry.totalShards,
  gpu_device: entry.gpuDevice,
  vram_bytes: entry.vramBytes,
  source: entry.source,
  digest: entry.digest,
  tree_digest: entry.treeDigest,
  expected: entry.expected,
  expected_by: entry.expectedBy,
  exportable: entry.exportable,
  ...(entry.memory === null ? {} : { memory: memoryToJson(entry.memory) }),
});

const memoryToJson = (memory: ListedMemory) => ({
  allocation_id: memory.allocationId,
  gpu_uuid: memory.gpuUuid,
  mapped_bytes: memory.mappedBytes,
  part_bytes: memory.partBytes,
  exported_at: memory.exportedAtMs === null ? null : new Date(memory.exportedAtMs).toISOString(),
  jti: memory.jti,
});

/** The entry that a JSON value describes, or null if it is invalid. */
export function entryFromJson(value: unknown): ManifestEntry | null {
  const fields = fieldsOf(value);
  if (fields === null) return null;
  const [shardId, modelRef] = [fields.get('shard_id'), fields.get('model_ref')];
  const [shardIndex, totalShards] = [fields.get('shard_index'), fields.get('total_shards')];
  const [gpuDevice, vramBytes] = [fields.get('gpu_device'), fields.get('vram_bytes')];
  const [digest, treeDigest] = [fields.get('digest'), fields.get('tree_digest')];
  const expected = expectations.find((word) => word === fields.get('expected'));
  if (!isText(shardId) || !isText(modelRef) || expected === undefined) return null;
  if (!isCount(shardIndex) || !isCount(totalShards) || !isCount(gpuDevice) || !isCount(vramBytes)) return null;
  const source = sourceOf(fields);
  if (source === undefined || !isOptional(digest, isDigest) || !isDigest(treeDigest)) return null;
  const expectedBy = expectedBySet.find((word) => word === fields.get('expected_by')) ?? null;
  const memory = fields.has('memory') ? memoryFromJson(fields.get('memory')) : null;
  if (memory === undefined) return null;
  const exportable = fields.get('exportable') !== false;
  // No spread, which would give each entry a hidden class of its own.
  return {
    shardId,
    modelRef,
    shardIndex,
    totalShards,
    gpuDevice,
    vramBytes,
    source,
    digest,
    treeDigest,
    expected,
    expectedBy,
    exportable,
    memory,
  };
}

/** Versions up to 3 had the path of a file of the model directory in place of the reference. Undefined if it is invalid. */
function sourceOf(fields: ReadonlyMap<string, unknown>): SourceReference | null | undefined {
  const [path, source] = [fields.get('path') ?? null, fields.get('source') ?? null];
  if (source !== null) return isSourceReference(source) ? source : undefined;
  if (path === null) return null;
  return isText(path) ? { type: 'file', path } : undefined;
}

function memoryFromJson(value: unknown): ListedMemory | undefined {
  const fields = fieldsOf(value);
  const [allocationId, gpuUuid, jti] = ['allocation_id', 'gpu_uuid', 'jti'].map((name) => fields?.get(name));
  const [mappedBytes, partBytes] = [fields?.get('mapped_bytes'), fields?.get('part_bytes')];
  const exportedAt = fields?.get('exported_at');
  if (!isText(allocationId) || !isFileName(allocationId) || !isText(gpuUuid) || !isText(jti)) return undefined;
  if (!isCount(mappedBytes) || !isCount(partBytes) || !isOptional(exportedAt, isText)) return undefined;
  const exportedAtMs = exportedAt === null ? null : Date.parse(exportedAt);
  if (Number.isNaN(exportedAtMs)) return undefined;
  return { allocationId, gpuUuid, mappedBytes, partBytes, exportedAtMs, jti };
}

/** Allocation ids name files of group hashes. */
const isFileName = (text: string): boolean => /^[0-9a-f-]{1,64}$/.test(text);
