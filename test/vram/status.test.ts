import t from 'tap';
import { errorOf, status } from '../../src/vram/status.js';

const isSticky = (result: number): boolean =>
  errorOf(status.driverErrorBase + result, 'CUDA_ERROR', 'vram_digest').sticky;

t.test('an error that cuda.h documents as sticky needs a new process', async (t) => {
  for (const result of [226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911]) {
    t.ok(isSticky(result), `CUresult ${result}`);
  }
});

t.test('an error of one call does not end the process', async (t) => {
  const results = { OUT_OF_MEMORY: 2, NOT_READY: 600, LAUNCH_OUT_OF_RESOURCES: 701, COOPERATIVE_LAUNCH_TOO_LARGE: 720 };
  for (const [name, result] of Object.entries(results)) t.notOk(isSticky(result), name);
});
