import { randomUUID } from 'node:crypto';
import { WorkerError } from '../../errors.js';
import type { PlannedShard } from '../plan/placement.js';
import type { DeviceMemory, MemoryClaim } from './device_memory.js';
import type { ShardIdentity } from './snapshot.js';

/** Reserved memory as others see it. `used` is set once a commit has taken the part. */
export interface ReservationSnapshot {
  readonly reservationId: string;
  readonly modelRef: string;
  readonly expiresAtMs: number;
  readonly shards: readonly (PlannedShard & { readonly used: boolean })[];
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
  state: 'held' | 'expired';
  /** By the monotonic clock: a step of the wall clock expires nothing. */
  deadlineMs: number;
  expiresAtMs: number;
  ttlSeconds: number;
}

/** Wall clock and monotonic clock tick at different moments: what is computed from both differs by so much. */
const clockGrainMs = 2;

/** A part of a reservation, taken by a commit. */
export interface TakenPart {
  readonly claim: MemoryClaim;
  /** The commit failed: the part is as it was, or free if its time has run out meanwhile. */
  giveBack(): void;
}

/** How long an expired reservation is remembered as such. */
const memoryMs = 60 * 60 * 1000;

/** Memory held for commits to come. Nothing held here can be claimed by anyone else until it expires. */
export class Reservations {
  readonly #held = new Map<string, Reservation>();
  readonly #monotonicMs: () => number;

  constructor(monotonicMs: () => number = () => performance.now()) {
    this.#monotonicMs = monotonicMs;
  }

  /** Reserves every shard of a plan, or nothing. @throws WorkerError VRAM_OOM */
  hold(
    modelRef: string,
    shards: readonly PlannedShard[],
    devices: ReadonlyMap<number, DeviceMemory>,
    ttlSeconds: number,
  ): ReservationSnapshot {
    const parts: Part[] = [];
    try {
      for (const shard of shards) {
        const memory = devices.get(shard.gpuDevice);
        if (memory === undefined) throw new WorkerError('INTERNAL', 'a plan names a device that is not there');
        const mappedBytes = memory.mappedBytes(shard.vramBytes);
        memory.reserve(mappedBytes);
        parts.push({ shard, memory, mappedBytes, used: false });
      }
    } catch (error) {
      for (const part of parts) part.memory.unreserve(part.mappedBytes);
      throw error;
    }
    const reservationId = randomUUID();
    const reservation: Reservation = {
      reservationId,
      modelRef,
      parts,
      state: 'held',
      deadlineMs: 0,
      expiresAtMs: 0,
      ttlSeconds,
    };
    this.#extend(reservation, ttlSeconds);
    this.#held.set(reservationId, reservation);
    return snapshot(reservation);
  }

  /**
   * Holds it for so long from now, by default as long as it was made for; never shorter than it holds already.
   * @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED
   */
  renew(reservationId: string, ttlSeconds?: number): ReservationSnapshot {
    const reservation = this.#find(reservationId);
    this.#extend(reservation, ttlSeconds ?? reservation.ttlSeconds);
    return snapshot(reservation);
  }

  /** Gives back what no commit has taken. @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED */
  drop(reservationId: string): void {
    expire(this.#find(reservationId));
    this.#held.delete(reservationId);
  }

  /** Whether there is such a reservation. @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED */
  require(reservationId: string): void {
    this.#find(reservationId);
  }

  /** The device that a reservation holds a shard's memory on. @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED, SHARD_CONFLICT */
  deviceOf(reservationId: string, identity: ShardIdentity): number {
    return this.#part(reservationId, identity).shard.gpuDevice;
  }

  /**
   * Takes the part of a shard. A larger shard takes the rest from available memory.
   * @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED, SHARD_CONFLICT, VRAM_OOM
   */
  take(reservationId: string, identity: ShardIdentity, vramBytes: number): TakenPart {
    const reservation = this.#find(reservationId);
    const part = this.#part(reservationId, identity);
    const claim = part.memory.claim(vramBytes, part.mappedBytes);
    part.used = true;
    const giveBack = () => {
      claim.release();
      part.used = false;
      if (reservation.state === 'held') part.memory.restore(part.mappedBytes);
    };
    return { claim, giveBack };
  }

  /** Frees what has run out. Called before every decision and on a timer. */
  sweep(): void {
    const now = this.#monotonicMs();
    for (const reservation of this.#held.values()) {
      if (reservation.deadlineMs <= now) expire(reservation);
      if (reservation.deadlineMs + memoryMs <= now) this.#held.delete(reservation.reservationId);
    }
  }

  #part(reservationId: string, identity: ShardIdentity): Part {
    const reservation = this.#find(reservationId);
    const part = reservation.parts.find(({ shard }) => shard.shardIndex === identity.shardIndex);
    const conflict = (detail: string) => new WorkerError('SHARD_CONFLICT', detail);
    if (reservation.modelRef !== identity.modelRef) throw conflict('the reservation is for another model_ref');
    if (part === undefined) throw conflict(`the reservation has no shard_index ${identity.shardIndex}`);
    if (part.shard.totalShards !== identity.totalShards) throw conflict('the reservation has another total_shards');
    if (part.used) throw conflict('this part of the reservation is used');
    return part;
  }

  #find(reservationId: string): Reservation {
    this.sweep();
    const reservation = this.#held.get(reservationId);
    if (reservation === undefined) throw new WorkerError('NOT_FOUND', 'no such reservation');
    if (reservation.state === 'expired') throw new WorkerError('RESERVATION_EXPIRED', 'the reservation has expired');
    return reservation;
  }

  #extend(reservation: Reservation, ttlSeconds: number): void {
    const now = this.#monotonicMs();
    reservation.deadlineMs = Math.max(reservation.deadlineMs, now + ttlSeconds * 1000);
    const expiresAtMs = Date.now() + (reservation.deadlineMs - now);
    // Said anew where it moved, be it that the wall clock was set; the grain of two clocks is no move.
    if (Math.abs(expiresAtMs - reservation.expiresAtMs) > clockGrainMs) reservation.expiresAtMs = expiresAtMs;
  }
}

function expire(reservation: Reservation): void {
  if (reservation.state === 'expired') return;
  reservation.state = 'expired';
  for (const part of reservation.parts) if (!part.used) part.memory.unreserve(part.mappedBytes);
}

const snapshot = (reservation: Reservation): ReservationSnapshot => ({
  reservationId: reservation.reservationId,
  modelRef: reservation.modelRef,
  expiresAtMs: reservation.expiresAtMs,
  shards: reservation.parts.map(({ shard, used }) => ({ ...shard, used })),
});
