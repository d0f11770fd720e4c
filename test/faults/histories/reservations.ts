export const granularityBytes = 2 * 1024 * 1024;

/** The size of an allocation of `bytes`: whole granules. */
export const mappedBytes = (bytes: number): number => Math.ceil(bytes / granularityBytes) * granularityBytes;

export interface Part {
  readonly index: number;
  readonly total: number;
  readonly device: number;
  readonly bytes: number;
  used: boolean;
}

export interface Reservation {
  readonly modelRef: string;
  readonly parts: readonly Part[];
  readonly ttlSeconds: number;
  deadlineMs: number;
  dropped: boolean;
}

type Refusal = { readonly refused: { readonly status: number; readonly code: string } };

/** The worker remembers expired reservations for an hour. */
const memoryMs = 3_600_000;

/** The model's reservations: memory that only its own commits may use until the reservation expires. */
export class Reservations {
  readonly byId = new Map<string, Reservation>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  hold(id: string, modelRef: string, parts: readonly Omit<Part, 'used'>[], ttlSeconds: number): void {
    const deadlineMs = this.#nowMs() + ttlSeconds * 1000;
    const unused = parts.map((part) => ({ ...part, used: false }));
    this.byId.set(id, { modelRef, parts: unused, ttlSeconds, deadlineMs, dropped: false });
  }

  find(id: string): Reservation | Refusal {
    const reservation = this.byId.get(id);
    const goneMs = (reservation?.deadlineMs ?? 0) + memoryMs;
    if (reservation === undefined || reservation.dropped || goneMs <= this.#nowMs())
      return { refused: { status: 404, code: 'NOT_FOUND' } };
    if (reservation.deadlineMs <= this.#nowMs()) return { refused: { status: 410, code: 'RESERVATION_EXPIRED' } };
    return reservation;
  }

  /** Extends a reservation from now. It never becomes shorter. */
  renew(reservation: Reservation, ttlSeconds: number = reservation.ttlSeconds): void {
    reservation.deadlineMs = Math.max(reservation.deadlineMs, this.#nowMs() + ttlSeconds * 1000);
  }

  /** Reserved bytes of a device that no commit has used. */
  bytesOn(device: number): number {
    const held = [...this.byId.values()].filter((one) => !one.dropped && one.deadlineMs > this.#nowMs());
    const parts = held.flatMap((one) => one.parts.filter((part) => part.device === device && !part.used));
    return parts.reduce((sum, part) => sum + mappedBytes(part.bytes), 0);
  }
}
