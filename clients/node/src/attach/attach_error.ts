/** The statuses of `vram_attach.h`, without the prefix, in the order of their numbers. */
const statuses = [
  'OK',
  'INVALID_ARGUMENT',
  'OUT_OF_MEMORY',
  'NOT_CONNECTED',
  'TIMED_OUT',
  'PROTOCOL_ERROR',
  'REFUSED',
  'DESCRIPTORS_LOST',
  'DRIVER_NOT_FOUND',
  'DEVICE_NOT_FOUND',
  'DRIVER_ERROR',
  'NO_EVENT',
  'NOT_A_FILE',
] as const;

export type AttachStatus = (typeof statuses)[number] | 'LIBRARY_NOT_FOUND' | 'CLOSED' | 'NOT_HOST_MEMORY' | 'UNKNOWN';

/** The details of a failure: `vram_attach_error` in `vram_attach.h`. */
export interface AttachFailure {
  readonly code?: string;
  readonly detail: string;
  readonly driverResult?: number;
  readonly retriable?: boolean;
  readonly retryAfterMs?: number;
}

/** A failed attach, or a failed use of a lease. */
export class AttachError extends Error {
  override readonly name = 'AttachError';
  /** What failed, such as `NOT_CONNECTED`. `vram_attach.h` describes the statuses. */
  readonly status: AttachStatus;
  /** For programs: with status `REFUSED` the worker's code, such as `SHARD_BUSY`; otherwise the status. */
  readonly code: string;
  /** With status `DRIVER_ERROR`: the CUresult. */
  readonly driverResult: number | undefined;
  /** Whether the same call can succeed later. */
  readonly retriable: boolean;
  /** How long to wait before a retry, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(status: AttachStatus, failure: AttachFailure, options?: ErrorOptions) {
    const code = failure.code || status;
    super(`${code}: ${failure.detail}`, options);
    this.status = status;
    this.code = code;
    this.driverResult = failure.driverResult || undefined;
    this.retriable = failure.retriable ?? false;
    this.retryAfterMs = failure.retryAfterMs || undefined;
  }
}

export function statusOf(value: number): AttachStatus {
  return statuses[value] ?? 'UNKNOWN';
}
