import { type ErrorCode, WorkerError } from '../errors.js';

/** The statuses of `cuda/include/vram.h` that this side tells apart; the rest are defects of ours if they ever arrive. */
export const status = {
  ok: 0,
  badDevice: 4,
  tooLarge: 8,
  outOfMemory: 11,
  hostOutOfMemory: 12,
  sealed: 13,
  loadOverrun: 16,
  loadIncomplete: 17,
  fileTooShort: 18,
  policyViolation: 20,
  socketClosed: 26,
  fileDiffers: 27,
  driverErrorBase: 10000,
} as const;

const codes = new Map<number, ErrorCode>([
  [status.badDevice, 'INVALID_PARAMS'],
  [status.tooLarge, 'MODEL_TOO_LARGE'],
  [status.outOfMemory, 'VRAM_OOM'],
  [status.hostOutOfMemory, 'HOST_OOM'],
  [status.loadOverrun, 'LENGTH_MISMATCH'],
  [status.loadIncomplete, 'LENGTH_MISMATCH'],
  [status.fileTooShort, 'LENGTH_MISMATCH'],
  [status.socketClosed, 'LENGTH_MISMATCH'],
  [status.policyViolation, 'POLICY_VIOLATION'],
  [status.fileDiffers, 'DIGEST_MISMATCH'],
]);

/**
 * Driver errors after which every later call fails and only a new process helps (CUDA driver API reference, CUresult):
 * the context is lost to a fault of a kernel, of memory or of a link; the device, the driver or its daemon is gone.
 */
const stickyResults = new Set([
  ...[214, 220, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 720],
  ...[4, 46, 100, 101, 201, 709, 805, 806, 810],
]);

/** Stands for a status where the driver gave none, since it never came back. */
const noAnswer = -1;

/** A native call that did not succeed, with the status it gave. */
export class VramError extends WorkerError {
  readonly status: number;

  constructor(code: ErrorCode, message: string, nativeStatus: number) {
    // A device that is lost is one that the next process may have again.
    super(code, message, isSticky(nativeStatus) ? { retriable: true, retryAfterMs: 5000 } : {});
    this.name = 'VramError';
    this.status = nativeStatus;
  }

  /** Whether the device's context is lost with this error. */
  get sticky(): boolean {
    return isSticky(this.status);
  }
}

const isSticky = (nativeStatus: number): boolean =>
  nativeStatus === noAnswer || stickyResults.has(nativeStatus - status.driverErrorBase);

/** The error of everything that waits for a driver that does not answer, and of all that asks it later. */
export const unanswered = (seconds: number): VramError =>
  new VramError('CUDA_ERROR', `the driver did not answer for ${seconds} seconds`, noAnswer);

/** The error that says what a native status means; `name` is what `vram_status_name` calls it. */
export function errorOf(nativeStatus: number, name: string, action: string): VramError {
  const code = codes.get(nativeStatus) ?? (nativeStatus >= status.driverErrorBase ? 'CUDA_ERROR' : 'INTERNAL');
  return new VramError(code, `${action}: ${name}`, nativeStatus);
}
