import { WorkerError } from '../errors.js';
import type { Allocation } from './allocation.js';
import type { Driver } from './driver.js';
import { VramError } from './status.js';
import { notSealed } from './violations.js';

/** The length of the known bytes: a whole group, a whole block, and one byte. The kernel needs three thread blocks. */
export const selfTestBytes = 528_385;

/** Their digests, by `openssl dgst` and `fsverity digest`: the row of `test/vectors/tree.tsv` with that length. */
const knownDigests = {
  flat: 'sha256:a10044fdf7120f545aaffaeda2073e89bfed74689a1cbef79baf15222035eae7',
  tree: 'sha256:b5353d8bfdcb9697a5295b7eca74a774c23c0ca45a2a108524c17de645479f90',
} as const;

type Step = 'allocate' | 'write' | 'seal' | 'attest' | 'digest' | 'wipe';

/**
 * Tests a device with known bytes: allocates one granule, writes and seals it, asks the driver whether it is read-only,
 * digests it on the device, wipes and frees it. Needs one free staging slot.
 * @throws VramError VRAM_OOM if the device has no free memory; WorkerError that names the device and the failed step
 */
export async function selfTest(driver: Driver, ordinal: number): Promise<void> {
  const { name } = await driver.device(ordinal);
  const run = <T>(step: Step, work: () => Promise<T>): Promise<T> =>
    work().catch((error: unknown) => {
      throw failure(`GPU device ${ordinal} (${name}) failed its self-test at the step "${step}"`, error);
    });
  const allocation = await run('allocate', async () => {
    // Each test could leave memory behind, so the next one waits until it is free.
    await driver.unfreed.retry();
    return driver.allocate(ordinal, selfTestBytes);
  });
  try {
    await run('write', () => write(driver, allocation));
    await run('seal', () => seal(allocation));
    await run('attest', () => allocation.attest());
    await run('digest', () => digest(allocation));
  } catch (error) {
    await driver.unfreed.free(allocation).catch(() => undefined);
    throw error;
  }
  await run('wipe', () => driver.unfreed.free(allocation));
}

function failure(where: string, error: unknown): unknown {
  if (!(error instanceof VramError)) return new WorkerError('SEAL_VERIFICATION_FAILED', `${where}: ${String(error)}`);
  if (error.code === 'VRAM_OOM') return error;
  return new VramError(error.code, `${where}: ${error.message}`, error.status, { cause: error });
}

async function write(driver: Driver, allocation: Allocation): Promise<void> {
  const bytes = sequence();
  const slots = driver.staging.take(1);
  const load = allocation.load({ flat: true, tree: true });
  try {
    for (const slot of slots) {
      slot.bytes.set(bytes);
      await load.push([slot], selfTestBytes);
    }
    const { flat, tree } = await load.complete();
    if (flat !== knownDigests.flat || tree !== knownDigests.tree) throw new Error('the host computes wrong digests');
  } finally {
    await load.close().finally(() => driver.staging.give(slots));
  }
}

/** The driver's report must change with the seal, so that the step "attest" proves something. */
async function seal(allocation: Allocation): Promise<void> {
  const violations = await allocation.violations();
  if (violations.length !== 1 || violations[0] !== notSealed) {
    throw new Error(`the driver reports writable memory as: ${violations.join(', ')}`);
  }
  await allocation.seal();
}

async function digest(allocation: Allocation): Promise<void> {
  const actual = allocation.treeDigest(await allocation.groupHashes());
  if (actual !== knownDigests.tree) throw new Error('the device computes wrong digests');
}

/** The sequence that the vectors digest. */
function sequence(): Uint8Array {
  const bytes = new Uint8Array(selfTestBytes);
  let state = 1;
  for (let index = 0; index < selfTestBytes; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}
