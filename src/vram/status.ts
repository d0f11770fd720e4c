import { type ErrorCode, internalMessage, WorkerError, type WorkerErrorOptions } from '../errors.js';

/** The statuses of `cuda/include/vram.h` that the worker distinguishes. All others mean a defect of the worker. */
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
  fileError: 19,
  policyViolation: 20,
  unsupportedDevice: 21,
  driverNotFound: 22,
  driverIncomplete: 23,
  kernelsNotFound: 24,
  socketClosed: 26,
  fileDiffers: 27,
  hostOutOfThreads: 28,
  driverTooOld: 29,
  directoryError: 30,
  notAFile: 31,
  fileBusy: 32,
  notExportable: 33,
  wouldBlock: 35,
  driverErrorBase: 10000,
} as const;

/** The error code and the message of each status that a client can cause or should act on. */
const meanings = new Map<number, readonly [ErrorCode, string]>([
  [status.badDevice, ['INVALID_PARAMS', 'The GPU device does not exist']],
  [status.tooLarge, ['MODEL_TOO_LARGE', 'The shard is larger than the limit of one allocation']],
  [status.outOfMemory, ['VRAM_OOM', 'The GPU does not have enough free memory']],
  [status.hostOutOfMemory, ['HOST_OOM', 'The host does not have enough memory']],
  [status.hostOutOfThreads, ['INTERNAL', 'The host cannot start another thread']],
  [status.loadOverrun, ['LENGTH_MISMATCH', 'More bytes arrived than were declared']],
  [status.loadIncomplete, ['LENGTH_MISMATCH', 'Fewer bytes arrived than were declared']],
  [status.fileTooShort, ['LENGTH_MISMATCH', 'The file became shorter while it was read']],
  [status.socketClosed, ['LENGTH_MISMATCH', 'The connection closed before all bytes arrived']],
  [status.unsupportedDevice, ['CUDA_ERROR', 'The GPU does not support virtual memory management']],
  [status.driverNotFound, ['CUDA_ERROR', 'The CUDA driver library cannot be loaded']],
  [status.driverIncomplete, ['CUDA_ERROR', 'The CUDA driver library lacks a function that the worker needs']],
  [
    status.driverTooOld,
    ['CUDA_ERROR', 'The NVIDIA driver is too old for the CUDA kernels: install version 580 or later'],
  ],
  [status.kernelsNotFound, ['CUDA_ERROR', 'The module of CUDA kernels cannot be read']],
  [status.policyViolation, ['POLICY_VIOLATION', 'The memory violates the sealing policy']],
  [status.notExportable, ['NOT_EXPORTABLE', 'The GPU cannot share this memory with other processes']],
  [status.fileDiffers, ['DIGEST_MISMATCH', 'The file does not have the sealed bytes']],
  [status.directoryError, ['MODEL_DIR_UNAVAILABLE', 'The model directory cannot be opened']],
  [status.fileError, ['MODEL_DIR_UNAVAILABLE', 'The file cannot be read']],
  [status.notAFile, ['INVALID_PARAMS', 'source.path is not a regular file']],
  [status.fileBusy, ['MODEL_DIR_UNAVAILABLE', 'The file system of the model directory does not respond']],
]);

/** Driver errors after which the worker needs a new process. Source: `CUresult` in NVIDIA's cuda.h, CUDA 13.0. */
const stickyResults = new Set([
  // Documented as sticky: the context cannot be used again, or the process must be terminated and relaunched.
  226, // CUDA_ERROR_CONTAINED
  700, // CUDA_ERROR_ILLEGAL_ADDRESS
  702, // CUDA_ERROR_LAUNCH_TIMEOUT
  709, // CUDA_ERROR_CONTEXT_IS_DESTROYED
  710, // CUDA_ERROR_ASSERT
  714, // CUDA_ERROR_HARDWARE_STACK_ERROR
  715, // CUDA_ERROR_ILLEGAL_INSTRUCTION
  716, // CUDA_ERROR_MISALIGNED_ADDRESS
  717, // CUDA_ERROR_INVALID_ADDRESS_SPACE
  718, // CUDA_ERROR_INVALID_PC
  719, // CUDA_ERROR_LAUNCH_FAILED
  721, // CUDA_ERROR_TENSOR_MEMORY_LEAK
  810, // CUDA_ERROR_MPS_CLIENT_TERMINATED
  911, // CUDA_ERROR_EXTERNAL_DEVICE
  // Not documented as sticky. On an open device they mean that the device, its context or the driver is lost.
  4, // CUDA_ERROR_DEINITIALIZED
  46, // CUDA_ERROR_DEVICE_UNAVAILABLE
  100, // CUDA_ERROR_NO_DEVICE
  101, // CUDA_ERROR_INVALID_DEVICE
  201, // CUDA_ERROR_INVALID_CONTEXT
  214, // CUDA_ERROR_ECC_UNCORRECTABLE
  220, // CUDA_ERROR_NVLINK_UNCORRECTABLE
  805, // CUDA_ERROR_MPS_CONNECTION_FAILED
  806, // CUDA_ERROR_MPS_RPC_FAILURE
]);

/** The `status` of a `VramError` for a call that timed out. */
const timedOut = -1;

/** A failed native call. */
export class VramError extends WorkerError {
  readonly status: number;

  constructor(code: ErrorCode, message: string, nativeStatus: number, options: WorkerErrorOptions = {}) {
    const retryAfterMs = retryAfterMsOf(nativeStatus);
    super(code, message, retryAfterMs === undefined ? options : { ...options, retriable: true, retryAfterMs });
    this.name = 'VramError';
    this.status = nativeStatus;
  }

  /** Whether only a new process can use the driver again. */
  get sticky(): boolean {
    return isSticky(this.status);
  }
}

const isSticky = (nativeStatus: number): boolean =>
  nativeStatus === timedOut || stickyResults.has(nativeStatus - status.driverErrorBase);

function retryAfterMsOf(nativeStatus: number): number | undefined {
  // The supervisor restarts the worker, and the new process may get the device back.
  if (isSticky(nativeStatus)) return 5000;
  // Other work ends, and its threads with it.
  return nativeStatus === status.hostOutOfThreads ? 1000 : undefined;
}

/** The error of each call that waits for a hanging driver, and of all later calls. */
export const driverTimeout = (seconds: number): VramError =>
  new VramError('CUDA_ERROR', `CUDA driver call timed out after ${seconds} seconds`, timedOut);

/**
 * Makes the error of a native status. `name` is its `vram_status_name`, and `action` the failed function. Clients see
 * neither, except CUDA's own names: both are in `cause`, for the log.
 */
export function errorOf(nativeStatus: number, name: string, action: string): VramError {
  const [code, message] = meanings.get(nativeStatus) ?? unexpected(nativeStatus, name);
  const cause = new Error(`${action} returned ${name}`);
  return new VramError(code, message, nativeStatus, { cause });
}

const unexpected = (nativeStatus: number, name: string): readonly [ErrorCode, string] =>
  nativeStatus >= status.driverErrorBase
    ? ['CUDA_ERROR', `GPU driver call failed: ${name}`]
    : ['INTERNAL', internalMessage];
