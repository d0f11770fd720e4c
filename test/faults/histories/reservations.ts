export const granularityBytes = 2 * 1024 * 1024;

/** What an allocation of so many bytes takes. */
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

/** Expired ones are remembered for an hour. */
const memoryMs = 3_600_000;

/** Memory held for commits to come, by the contract: nothing else may take it before its time has run out. */
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

  /** Holds it for so long from now, never shorter than it holds already. */
  renew(reservation: Reservation, ttlSeconds: number = reservation.ttlSeconds): void {
    reservation.deadlineMs = Math.max(reservation.deadlineMs, this.#nowMs() + ttlSeconds * 1000);
  }

  /** What is held on a device and no commit has taken. */
  bytesOn(device: number): number {
    const held = [...this.byId.values()].filter((one) => !one.dropped && one.deadlineMs > this.#nowMs());
    const parts = held.flatMap((one) => one.parts.filter((part) => part.device === device && !part.used));
    return parts.reduce((sum, part) => sum + mappedBytes(part.bytes), 0);
  }
}
