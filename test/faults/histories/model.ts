import { mappedBytes, type Reservation, Reservations } from './reservations.js';

/** The fields of a commit. */
export interface Wish {
  readonly shardId: string;
  readonly modelRef: string;
  readonly shardIndex: number;
  readonly totalShards: number;
  readonly bytes: number;
  /** The name of the bytes. Two contents of equal length and name are equal. */
  readonly content: number;
  readonly gpuDevice: number | undefined;
  /** A reservation of this history, or one that never existed. */
  readonly reservationId: string | undefined;
  readonly expects: Expects;
}

/** The digests that the client expects: none, one, both, one of other bytes, or a tree digest and no flat digest. */
export const expectations = ['none', 'sha256', 'tree', 'both', 'wrong', 'treeOnly'] as const;
export type Expects = (typeof expectations)[number];

export interface Shard extends Wish {
  readonly device: number;
  state: 'receiving' | 'sealed';
  heldBytes: number;
  handle: string | undefined;
  /** Returns the part of the reservation if the commit fails. */
  readonly giveBack: () => void;
}

export type Answer = { readonly status: number; readonly code?: string; readonly availableBytes?: number };
export type Admission =
  | { readonly refused: Answer }
  | { readonly existing: Shard }
  | { readonly compares: Shard }
  | { readonly shard: Shard };

const refuse = (status: number, code: string): Admission => ({ refused: { status, code } });

/** A reference model of the worker's memory: allocations, reservations, and the answer to each request. */
export class Model {
  readonly capacityBytes: readonly number[];
  readonly shards = new Map<string, Shard>();
  readonly reservations: Reservations;

  constructor(capacityBytes: readonly number[], nowMs: () => number) {
    this.capacityBytes = capacityBytes;
    this.reservations = new Reservations(nowMs);
  }

  usedBytes(device: number): number {
    return [...this.shards.values()].reduce((sum, one) => sum + (one.device === device ? one.heldBytes : 0), 0);
  }

  reservedBytes(device: number): number {
    return this.reservations.bytesOn(device);
  }

  availableBytes(device: number): number {
    return (this.capacityBytes[device] ?? 0) - this.usedBytes(device) - this.reservedBytes(device);
  }

  /** Devices by available memory, largest first, then by index. */
  byRoom(devices: readonly number[] = this.capacityBytes.map((_, device) => device)): number[] {
    return devices.toSorted((a, b) => this.availableBytes(b) - this.availableBytes(a) || a - b);
  }

  /** Each shard's device, or null if they do not fit: one device for all, or one each, the largest shard first. */
  place(sizes: readonly number[], layout: string, devices: readonly number[] | undefined): number[] | null {
    const rooms = this.byRoom(devices);
    const left = new Map(rooms.map((device) => [device, this.availableBytes(device)]));
    const places: number[] = [];
    const bySize = sizes.map((bytes, index) => ({ bytes, index })).sort((a, b) => b.bytes - a.bytes);
    for (const [rank, { bytes, index }] of bySize.entries()) {
      const device = rooms[layout === 'single' ? 0 : rank];
      const room = device === undefined ? -1 : (left.get(device) ?? 0) - mappedBytes(bytes);
      if (device === undefined || room < 0) return null;
      left.set(device, room);
      places[index] = device;
    }
    return places;
  }

  /** The outcome of a commit before its bytes are read, in the order of the contract: 400, 404/410, 409, 507. */
  admit(wish: Wish): Admission {
    const existing = this.shards.get(wish.shardId);
    const like = existing?.state === 'sealed' ? likeness(existing, wish) : 'other';
    if (wish.gpuDevice !== undefined && wish.gpuDevice >= this.capacityBytes.length)
      return refuse(400, 'INVALID_PARAMS');
    let reservation: Reservation | undefined;
    if (wish.reservationId !== undefined && like === 'other') {
      const found = this.reservations.find(wish.reservationId);
      if ('refused' in found) return found;
      reservation = found;
    }
    if (existing !== undefined) {
      if (like === 'same') return { existing };
      if (like === 'unknown') return { compares: existing };
      return refuse(409, existing.state === 'sealed' ? 'SHARD_CONFLICT' : 'SHARD_BUSY');
    }
    const part = reservation?.parts.find((one) => one.index === wish.shardIndex);
    if (reservation !== undefined) {
      const fits = reservation.modelRef === wish.modelRef && part?.total === wish.totalShards && !part.used;
      if (!fits || (wish.gpuDevice ?? part?.device) !== part?.device) return refuse(409, 'SHARD_CONFLICT');
    }
    const device = part?.device ?? wish.gpuDevice ?? this.byRoom()[0] ?? 0;
    const reserved = part === undefined ? 0 : mappedBytes(part.bytes);
    const heldBytes = Math.max(mappedBytes(wish.bytes), reserved);
    const availableBytes = this.availableBytes(device);
    if (heldBytes - reserved > availableBytes) return { refused: { status: 507, code: 'VRAM_OOM', availableBytes } };
    if (part !== undefined) part.used = true;
    const giveBack = () => {
      if (part !== undefined) part.used = false;
    };
    const shard: Shard = { ...wish, device, state: 'receiving', heldBytes, handle: undefined, giveBack };
    this.shards.set(wish.shardId, shard);
    return { shard };
  }

  /** Seals a new shard after its last byte. */
  seal(shard: Shard): Answer {
    if (shard.expects === 'wrong') {
      this.fail(shard);
      return { status: 422, code: 'DIGEST_MISMATCH' };
    }
    shard.state = 'sealed';
    shard.heldBytes = mappedBytes(shard.bytes);
    return { status: 201 };
  }

  /** Answers a retry after its last byte: its bytes must equal the existing shard. */
  compare(existing: Shard, wish: Wish): Answer {
    if (this.shards.get(wish.shardId) !== existing) return { status: 409, code: 'SHARD_BUSY' };
    const same = existing.content === wish.content && wish.expects !== 'wrong';
    return same ? { status: 200 } : { status: 409, code: 'SHARD_CONFLICT' };
  }

  /** Ends a commit without a seal. */
  fail(shard: Shard): void {
    this.shards.delete(shard.shardId);
    shard.giveBack();
  }

  /** The answer to a verification or a release of a shard in its state. */
  touch(shardId: string, good: number): Answer {
    const shard = this.shards.get(shardId);
    if (shard === undefined) return { status: 404, code: 'NOT_FOUND' };
    return shard.state === 'sealed' ? { status: good } : { status: 409, code: 'SHARD_BUSY' };
  }

  verdict(handle: { readonly shardId: string; readonly handle: string; readonly stale: boolean }): string | null {
    if (handle.stale) return 'stale_boot';
    const shard = this.shards.get(handle.shardId);
    if (shard === undefined) return 'unknown_shard';
    if (shard.state !== 'sealed') return 'not_sealed';
    return shard.handle === handle.handle ? null : 'superseded';
  }
}

/** Whether a commit is a retry of the existing shard, by its fields and digests. `unknown`: only its bytes can decide. */
function likeness(shard: Shard, wish: Wish): 'same' | 'other' | 'unknown' {
  const claims: (keyof Wish)[] = ['modelRef', 'shardIndex', 'totalShards', 'bytes'];
  if (claims.some((claim) => shard[claim] !== wish[claim])) return 'other';
  if (wish.gpuDevice !== undefined && wish.gpuDevice !== shard.device) return 'other';
  const hasFlat = shard.expects !== 'treeOnly';
  const equal = shard.content === wish.content;
  if (wish.expects === 'none') return 'unknown';
  if (wish.expects === 'wrong') return hasFlat ? 'other' : 'unknown';
  if (wish.expects === 'sha256') return hasFlat ? (equal ? 'same' : 'other') : 'unknown';
  if (!equal) return 'other';
  return wish.expects === 'both' && !hasFlat ? 'unknown' : 'same';
}
