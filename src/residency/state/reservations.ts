import { randomUUID } from 'node:crypto';
import { WorkerError } from '../../errors.js';
import type { DeviceMemory } from './device_memory.js';
import { MemoryGrant } from './memory_grant.js';
import type { ShardIdentity } from './snapshot.js';

/** Where one shard of a plan goes. `vramBytes` is its exact length. */
export interface PlannedShard {
  readonly shardIndex: number;
  readonly totalShards: number;
  readonly gpuDevice: number;
  readonly vramBytes: number;
}

/** A reservation at one moment. A part is `used` once a commit has taken it. */
export interface ReservationSnapshot {
  readonly reservationId: string;
  readonly modelRef: string;
  readonly expiresAtMs: number;
  readonly shards: readonly (PlannedShard & { readonly used: boolean })[];
}

/** The memory of a device that reservations hold. */
export interface ReservedMemory {
  /** Parts that no commit has taken. */
  readonly parts: number;
  /** When the first of them expires. */
  readonly expiresAtMs: number;
}

interface Part {
  readonly shard: PlannedShard;
  readonly memory: DeviceMemory;
  readonly mappedBytes: number;
  used: boolean;
}

interface Reservation {
  readonly reservationId: string;
  readonly modelRef: string;
  readonly parts: readonly Part[];
  /** On the monotonic clock: a step of the wall clock expires nothing. */
  deadlineMs: number;
  expiresAtMs: number;
  ttlSeconds: number;
}

/** Differences between the wall clock and the monotonic clock up to this are rounding. */
const clockToleranceMs = 2;

/** How long an expired reservation returns RESERVATION_EXPIRED. After that it returns NOT_FOUND. */
const expiredRetentionMs = 60 * 60 * 1000;

/** How many expired reservations are remembered. The oldest are forgotten first. */
export const maxExpired = 10_000;

/** How many reservations without free parts are kept. They hold no memory, so nothing else bounds their number. */
export const maxUsed = 1000;

/** Memory held for later commits. No other commit can claim it until the reservation expires. */
export class Reservations {
  readonly #byId = new Map<string, Reservation>();
  /** When each expired reservation ended, oldest first. Nothing else of it is kept. */
  readonly #expired = new Map<string, number>();
  /** The ids of reservations whose parts are all used, oldest first. */
  readonly #used = new Set<string>();
  readonly #monotonicMs: () => number;

  constructor(monotonicMs: () => number = () => performance.now()) {
    this.#monotonicMs = monotonicMs;
  }

  /** Reserves memory for every shard of a plan, or for none. @throws WorkerError VRAM_OOM */
  hold(
    modelRef: string,
    shards: readonly PlannedShard[],
    devices: ReadonlyMap<number, DeviceMemory>,
    ttlSeconds: number,
  ): ReservationSnapshot {
    const reservation: Reservation = {
      reservationId: randomUUID(),
      modelRef,
      parts: reserveAll(shards, devices),
      deadlineMs: 0,
      expiresAtMs: 0,
      ttlSeconds,
    };
    this.#extend(reservation, ttlSeconds);
    this.#byId.set(reservation.reservationId, reservation);
    return snapshot(reservation);
  }

  /**
   * Extends a reservation to `ttlSeconds` from now, by default its original lifetime. Never shortens it.
   * @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED
   */
  renew(reservationId: string, ttlSeconds?: number): ReservationSnapshot {
    const reservation = this.#find(reservationId);
    this.#extend(reservation, ttlSeconds ?? reservation.ttlSeconds);
    return snapshot(reservation);
  }

  /** Frees the parts that no commit has taken. @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED */
  drop(reservationId: string): void {
    this.#forget(this.#find(reservationId));
  }

  /** Checks that a reservation exists. @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED */
  require(reservationId: string): void {
    this.#find(reservationId);
  }

  /** The device that holds a shard's part. @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED, SHARD_CONFLICT */
  deviceOf(reservationId: string, identity: ShardIdentity): number {
    return this.#part(reservationId, identity).shard.gpuDevice;
  }

  /**
   * Takes a shard's part. A shard larger than the part takes the rest from available memory.
   * @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED, SHARD_CONFLICT, VRAM_OOM
   */
  take(reservationId: string, identity: ShardIdentity, vramBytes: number): MemoryGrant {
    const reservation = this.#find(reservationId);
    const part = this.#part(reservationId, identity);
    const claim = part.memory.claim(vramBytes, part.mappedBytes);
    part.used = true;
    this.#boundUsed(reservation);
    return new MemoryGrant(part.memory, claim, () => {
      part.used = false;
      this.#used.delete(reservationId);
      if (this.#byId.get(reservationId) === reservation) part.memory.restore(part.mappedBytes);
    });
  }

  /** Frees expired reservations. Called before every decision, and periodically. */
  dropExpired(): void {
    const nowMs = this.#monotonicMs();
    const ended = [...this.#byId.values()].filter(({ deadlineMs }) => deadlineMs <= nowMs);
    ended.sort((a, b) => a.deadlineMs - b.deadlineMs);
    for (const reservation of ended) this.#expire(reservation, reservation.deadlineMs);
    for (const [id, expiredMs] of this.#expired) {
      if (this.#expired.size <= maxExpired && expiredMs + expiredRetentionMs > nowMs) break;
      this.#expired.delete(id);
    }
  }

  /** What reservations hold, by device. */
  byDevice(): ReadonlyMap<number, ReservedMemory> {
    const held = new Map<number, ReservedMemory>();
    for (const { parts, expiresAtMs } of this.#byId.values()) {
      for (const { used, memory } of parts) {
        if (used) continue;
        const { parts: others, expiresAtMs: earliestMs } = held.get(memory.gpuDevice) ?? none;
        held.set(memory.gpuDevice, { parts: others + 1, expiresAtMs: Math.min(earliestMs, expiresAtMs) });
      }
    }
    return held;
  }

  #expire(reservation: Reservation, expiredMs: number): void {
    this.#forget(reservation);
    this.#expired.set(reservation.reservationId, expiredMs);
  }

  /** Frees the parts that no commit has taken. */
  #forget({ reservationId, parts }: Reservation): void {
    this.#byId.delete(reservationId);
    this.#used.delete(reservationId);
    for (const part of parts) if (!part.used) part.memory.unreserve(part.mappedBytes);
  }

  /** Beyond the limit, the reservation that was used up first expires early. */
  #boundUsed({ reservationId, parts }: Reservation): void {
    if (parts.some(({ used }) => !used)) return;
    this.#used.add(reservationId);
    const [first] = this.#used.size > maxUsed ? this.#used : [];
    const earliest = first === undefined ? undefined : this.#byId.get(first);
    if (earliest !== undefined) this.#expire(earliest, this.#monotonicMs());
  }

  #part(reservationId: string, identity: ShardIdentity): Part {
    const reservation = this.#find(reservationId);
    const part = reservation.parts.find(({ shard }) => shard.shardIndex === identity.shardIndex);
    const conflict = (detail: string) => new WorkerError('SHARD_CONFLICT', detail);
    if (reservation.modelRef !== identity.modelRef) throw conflict('The reservation is for another model_ref');
    if (part === undefined) throw conflict(`The reservation has no shard_index ${identity.shardIndex}`);
    if (part.shard.totalShards !== identity.totalShards) throw conflict('The reservation has another total_shards');
    if (part.used) throw conflict('This part of the reservation is already used');
    return part;
  }

  #find(reservationId: string): Reservation {
    this.dropExpired();
    const reservation = this.#byId.get(reservationId);
    if (reservation !== undefined) return reservation;
    if (this.#expired.has(reservationId)) throw new WorkerError('RESERVATION_EXPIRED', 'The reservation has expired');
    throw new WorkerError('NOT_FOUND', 'The reservation does not exist');
  }

  #extend(reservation: Reservation, ttlSeconds: number): void {
    const nowMs = this.#monotonicMs();
    reservation.deadlineMs = Math.max(reservation.deadlineMs, nowMs + ttlSeconds * 1000);
    const expiresAtMs = Date.now() + (reservation.deadlineMs - nowMs);
    // Follows a step of the wall clock, but not rounding differences.
    if (Math.abs(expiresAtMs - reservation.expiresAtMs) > clockToleranceMs) reservation.expiresAtMs = expiresAtMs;
  }
}

function reserveAll(shards: readonly PlannedShard[], devices: ReadonlyMap<number, DeviceMemory>): Part[] {
  const parts: Part[] = [];
  try {
    for (const shard of shards) {
      const memory = devices.get(shard.gpuDevice);
      if (memory === undefined) throw new WorkerError('INTERNAL', 'A plan names a device that does not exist');
      const mappedBytes = memory.mappedBytes(shard.vramBytes);
      memory.reserve(mappedBytes);
      parts.push({ shard, memory, mappedBytes, used: false });
    }
    return parts;
  } catch (error) {
    for (const part of parts) part.memory.unreserve(part.mappedBytes);
    throw error;
  }
}

const none: ReservedMemory = { parts: 0, expiresAtMs: Number.POSITIVE_INFINITY };

const snapshot = (reservation: Reservation): ReservationSnapshot => ({
  reservationId: reservation.reservationId,
  modelRef: reservation.modelRef,
  expiresAtMs: reservation.expiresAtMs,
  shards: reservation.parts.map(({ shard, used }) => ({ ...shard, used })),
});
