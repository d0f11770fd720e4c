import t from 'tap';
import { errorOf, status } from '../../src/vram/status.js';

const isSticky = (result: number): boolean =>
  errorOf(status.driverErrorBase + result, 'CUDA_ERROR', 'vram_digest').sticky;

t.test('an error that cuda.h documents as sticky needs a new process', async (t) => {
  for (const result of [226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911]) {
    t.ok(isSticky(result), `CUresult ${result}`);
  }
});

t.test('an error that means the loss of the device or its context needs a new process', async (t) => {
  const results = { NO_DEVICE: 100, INVALID_CONTEXT: 201, ECC_UNCORRECTABLE: 214, NVLINK_UNCORRECTABLE: 220 };
  for (const [name, result] of Object.entries(results)) t.ok(isSticky(result), name);
});

t.test('an error of one call does not end the process', async (t) => {
  const results = { OUT_OF_MEMORY: 2, NOT_READY: 600, LAUNCH_OUT_OF_RESOURCES: 701, COOPERATIVE_LAUNCH_TOO_LARGE: 720 };
  for (const [name, result] of Object.entries(results)) t.notOk(isSticky(result), name);
});

t.test('a message uses the words of the API, and the name of the native call is in the cause only', async (t) => {
  for (const nativeStatus of Object.values(status)) {
    const error = errorOf(nativeStatus, 'VRAM_NAME', 'vram_call');
    if (nativeStatus !== status.driverErrorBase) t.notMatch(error.message, /vram_|VRAM_/);
    t.match(error.cause, { message: 'vram_call returned VRAM_NAME' });
  }
  t.equal(
    errorOf(status.driverErrorBase + 700, 'CUDA_ERROR_ILLEGAL_ADDRESS', 'vram_digest').message,
    'GPU driver call failed: CUDA_ERROR_ILLEGAL_ADDRESS',
  );
});

t.test('a host that cannot start a thread is not out of memory, and the client may retry', async (t) => {
  const error = errorOf(status.hostOutOfThreads, 'VRAM_HOST_OUT_OF_THREADS', 'vram_load_file');
  t.match(error, { code: 'INTERNAL', retriable: true, retryAfterMs: 1000, sticky: false });
});
