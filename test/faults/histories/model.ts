import { mappedBytes, type Reservation, Reservations } from './reservations.js';

/** What a commit asks for, in the words of the contract. */
export interface Wish {
  readonly shardId: string;
  readonly modelRef: string;
  readonly shardIndex: number;
  readonly totalShards: number;
  readonly bytes: number;
  /** Which bytes, by name: two contents of one length and one name are equal. */
  readonly content: number;
  readonly gpuDevice: number | undefined;
  /** A reservation of this history, or one that never was. */
  readonly reservationId: string | undefined;
  readonly expects: Expects;
}

/** What the client says it expects: nothing, one digest, both, a digest of other bytes, or a tree and no flat digest. */
export const expectations = ['none', 'sha256', 'tree', 'both', 'wrong', 'treeOnly'] as const;
export type Expects = (typeof expectations)[number];

export interface Shard extends Wish {
  readonly device: number;
  state: 'receiving' | 'sealed';
  heldBytes: number;
  handle: string | undefined;
  /** Gives a part of a reservation back, should the commit fail. */
  readonly giveBack: () => void;
}

export type Answer = { readonly status: number; readonly code?: string; readonly availableBytes?: number };
export type Admission =
  | { readonly refused: Answer }
  | { readonly standing: Shard }
  | { readonly compares: Shard }
  | { readonly shard: Shard };

const refuse = (status: number, code: string): Admission => ({ refused: { status, code } });

/** The contract of the worker's memory in its plainest words: what is held, what is free, and what each request gets. */
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

  /** Most available memory first, ties to the lowest index. */
  byRoom(devices: readonly number[] = this.capacityBytes.map((_, device) => device)): number[] {
    return devices.toSorted((a, b) => this.availableBytes(b) - this.availableBytes(a) || a - b);
  }

  /** Each shard's device, or null where they do not fit: one device for all, or one each, the largest first. */
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

  /** What becomes of a commit before its bytes are read, in the contract's order: 400, 404/410, 409, 507. */
  admit(wish: Wish): Admission {
    const standing = this.shards.get(wish.shardId);
    const like = standing?.state === 'sealed' ? likeness(standing, wish) : 'other';
    if (wish.gpuDevice !== undefined && wish.gpuDevice >= this.capacityBytes.length)
      return refuse(400, 'INVALID_PARAMS');
    let reservation: Reservation | undefined;
    if (wish.reservationId !== undefined && like === 'other') {
      const found = this.reservations.find(wish.reservationId);
      if ('refused' in found) return found;
      reservation = found;
    }
    if (standing !== undefined) {
      if (like === 'same') return { standing };
      if (like === 'unknown') return { compares: standing };
      return refuse(409, standing.state === 'sealed' ? 'SHARD_CONFLICT' : 'SHARD_BUSY');
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

  /** All bytes of a new shard have come. */
  seal(shard: Shard): Answer {
    if (shard.expects === 'wrong') {
      this.fail(shard);
      return { status: 422, code: 'DIGEST_MISMATCH' };
    }
    shard.state = 'sealed';
    shard.heldBytes = mappedBytes(shard.bytes);
    return { status: 201 };
  }

  /** All bytes of a retry have come: it has to be the shard that stands. */
  compare(standing: Shard, wish: Wish): Answer {
    if (this.shards.get(wish.shardId) !== standing) return { status: 409, code: 'SHARD_BUSY' };
    const same = standing.content === wish.content && wish.expects !== 'wrong';
    return same ? { status: 200 } : { status: 409, code: 'SHARD_CONFLICT' };
  }

  /** A commit ended without a seal. */
  fail(shard: Shard): void {
    this.shards.delete(shard.shardId);
    shard.giveBack();
  }

  /** What a shard in its state answers to being verified or released. */
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

/** Whether a commit repeats the one that stands: by its claims and what it expects, else only its bytes can tell. */
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
