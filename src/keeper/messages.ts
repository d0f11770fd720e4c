import { WorkerError } from '../errors.js';
import { encodeFrame, type Fields, type Frame } from '../ipc/frame.js';
import { integer, matching, readKeys } from '../ipc/keys.js';
import { id } from '../ipc/requests.js';
import { type PartLayout, partsOf } from '../vram/part_layout.js';

/** The most parts of one allocation: `VRAM_MAX_PARTS` of `cuda/include/vram_export.h`. */
export const maxParts = 64;

/** The names of requests and answers. */
const workerId = matching(/^[A-Za-z0-9._:-]{1,128}$/, 'a worker id');
const uuid = matching(/^[0-9a-f-]{1,64}$/, 'a lower-case UUID');
const gpuUuid = matching(/^[A-Za-z0-9/-]{1,128}$/, 'the UUID of a GPU');
const name = matching(/^[A-Za-z0-9._:-]{1,128}\/[0-9a-f-]{1,64}$/, 'the next_cursor of the previous page');
const bytes = integer(1, Number.MAX_SAFE_INTEGER);
const count = integer(0, Number.MAX_SAFE_INTEGER);

/** The further keys of the keeper's `hello`. */
export const helloKeys = { worker_id: workerId, boot_id: uuid };

const layoutKeys = { gpu_uuid: gpuUuid, vram_bytes: bytes, mapped_bytes: bytes, part_bytes: bytes };

/** Memory that the keeper holds, or is asked to hold. */
export interface KeptMemory {
  readonly allocationId: string;
  readonly gpuUuid: string;
  readonly layout: PartLayout;
}

/** A line of a list. */
export interface KeptEntry extends KeptMemory {
  readonly workerId: string;
  /** For how long no worker has claimed it; null if one does. */
  readonly unclaimedSeconds: number | null;
}

export const readAllocationId = ({ fields }: Frame): string =>
  readKeys(fields, { id, allocation_id: uuid }, {}).allocation_id;

export const readDrop = ({ fields }: Frame): string | undefined =>
  readKeys(fields, { id }, { allocation_id: uuid }).allocation_id;

export const readCursor = ({ fields }: Frame): string | undefined => readKeys(fields, { id }, { cursor: name }).cursor;

/** Reads `put`, or the answer to `get`. @throws WorkerError INVALID_PARAMS */
export function readMemory({ fields }: Frame): KeptMemory {
  const keys = readKeys(fields, { id, allocation_id: uuid, ...layoutKeys }, {});
  return { allocationId: keys.allocation_id, ...memoryOf(keys) };
}

export const encodeMemory = (type: 'put' | 'held', id: number, memory: KeptMemory): Buffer =>
  encodeFrame(type, { id, allocation_id: memory.allocationId, ...layoutFields(memory) });

/** A part of a list, in the order of the names. */
export interface KeptPage {
  readonly entries: readonly KeptEntry[];
  readonly nextCursor: string | null;
}

/** The name of an allocation in lists and cursors. */
export const nameOf = (workerId: string, allocationId: string): string => `${workerId}/${allocationId}`;

export const encodePage = (id: number, { entries, nextCursor }: KeptPage): Buffer =>
  encodeFrame('allocations', { id, allocation: entries.map(lineOf), next_cursor: nextCursor });

/** @throws WorkerError INVALID_PARAMS */
const readPage = (fields: Fields): KeptPage => ({
  entries: fields.filter(([key]) => key === 'allocation').map(([, line]) => entryOf(line)),
  nextCursor: fields.find(([key]) => key === 'next_cursor')?.[1] || null,
});

/** All pages of a list. `ask` requests one. */
export async function readAllPages(ask: (cursor: string | null) => Promise<Fields>): Promise<KeptEntry[]> {
  const entries: KeptEntry[] = [];
  let cursor: string | null = null;
  do {
    const page: KeptPage = readPage(await ask(cursor));
    entries.push(...page.entries);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return entries;
}

const lineOf = ({ workerId, unclaimedSeconds, ...memory }: KeptEntry): string =>
  [nameOf(workerId, memory.allocationId), ...Object.values(layoutFields(memory)), unclaimedSeconds ?? ''].join(' ');

function entryOf(line: string): KeptEntry {
  const [name = '', gpu_uuid = '', vram_bytes = '', mapped_bytes = '', part_bytes = '', unclaimed = ''] =
    line.split(' ');
  const [worker_id = '', allocation_id = ''] = name.split('/');
  const fields = Object.entries({
    worker_id,
    allocation_id,
    gpu_uuid,
    vram_bytes,
    mapped_bytes,
    part_bytes,
    unclaimed,
  });
  const required = { worker_id: workerId, allocation_id: uuid, ...layoutKeys };
  const keys = readKeys(fields, required, { unclaimed: count });
  return {
    workerId: keys.worker_id,
    allocationId: keys.allocation_id,
    unclaimedSeconds: keys.unclaimed ?? null,
    ...memoryOf(keys),
  };
}

const layoutFields = ({ gpuUuid, layout }: KeptMemory) => ({
  gpu_uuid: gpuUuid,
  vram_bytes: layout.bytes,
  mapped_bytes: layout.mappedBytes,
  part_bytes: layout.partBytes,
});

type LayoutKeys = { readonly gpu_uuid: string } & Readonly<
  Record<'vram_bytes' | 'mapped_bytes' | 'part_bytes', number>
>;

function memoryOf({ gpu_uuid: gpuUuid, vram_bytes: bytes, ...sizes }: LayoutKeys) {
  const layout = { bytes, mappedBytes: sizes.mapped_bytes, partBytes: sizes.part_bytes };
  const isConsistent = bytes <= layout.mappedBytes && layout.mappedBytes <= maxParts * layout.partBytes;
  if (!isConsistent) throw new WorkerError('INVALID_PARAMS', 'The sizes are inconsistent');
  return { gpuUuid, layout };
}

/** How many descriptors memory has. */
export const partCount = ({ layout }: Pick<KeptMemory, 'layout'>): number => partsOf(layout).length;
