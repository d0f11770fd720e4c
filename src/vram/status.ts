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
 * Driver errors after which the context is lost and every later call fails: only a new process helps
 * (CUDA driver API reference, CUresult: "the process must be terminated and relaunched", and ECC).
 */
const stickyResults = new Set([214, 700, 702, 714, 715, 716, 717, 718, 719, 720]);

/** A native call that did not succeed, with the status it gave. */
export class VramError extends WorkerError {
  readonly status: number;

  constructor(code: ErrorCode, message: string, nativeStatus: number) {
    super(code, message);
    this.name = 'VramError';
    this.status = nativeStatus;
  }

  /** Whether the device's context is lost with this error. */
  get sticky(): boolean {
    return stickyResults.has(this.status - status.driverErrorBase);
  }
}

/** The error that says what a native status means; `name` is what `vram_status_name` calls it. */
export function errorOf(nativeStatus: number, name: string, action: string): VramError {
  const code = codes.get(nativeStatus) ?? (nativeStatus >= status.driverErrorBase ? 'CUDA_ERROR' : 'INTERNAL');
  return new VramError(code, `${action}: ${name}`, nativeStatus);
}
