import t from 'tap';
import {
  entryFromJson,
  entryToJson,
  type ListedMemory,
  type ManifestEntry,
} from '../../../src/residency/state/manifest_entry.js';
import { digestOf } from '../../../src/seal/digest.js';

const memory: ListedMemory = {
  allocationId: '0b1c2d3e-4f50-4617-8829-3a4b5c6d7e8f',
  gpuUuid: 'GPU-1',
  mappedBytes: 2 ** 21,
  partBytes: 2 ** 21,
  exportedAtMs: null,
  jti: 'j',
};

const entry: ManifestEntry = {
  shardId: 's',
  modelRef: 'm',
  shardIndex: 0,
  totalShards: 1,
  gpuDevice: 0,
  vramBytes: 5,
  source: null,
  digest: null,
  treeDigest: digestOf(Buffer.alloc(32)),
  expected: 'tree',
  expectedBy: null,
  exportable: true,
  memory,
};

t.test('an entry is the same after it was written and read', async (t) => {
  const entries = [
    entry,
    { ...entry, memory: null },
    { ...entry, memory: { ...memory, exportedAtMs: 1_700_000_000_000 } },
  ];
  for (const one of entries) t.same(entryFromJson(entryToJson(one)), one);
});

t.test('an entry with one wrong field of its memory is invalid', async (t) => {
  const wrong = {
    allocation_id: [undefined, 5, '../x'],
    gpu_uuid: [undefined, 5],
    mapped_bytes: [undefined, -1, '5'],
    part_bytes: [undefined, 0.5],
    exported_at: [undefined, 5, 'yesterday'],
    jti: [undefined, null],
  };
  const listed = entryToJson(entry);
  for (const [field, values] of Object.entries(wrong)) {
    for (const value of values) {
      const changed = { ...listed, memory: { ...listed.memory, [field]: value } };
      t.equal(entryFromJson(changed), null, `${field}: ${value}`);
    }
  }
});
