import { Sequence } from '../../runtime/sequence.js';
import { VramError } from '../../vram/status.js';

/** The staging slots that self-tests need: one, because they run one after another. */
export const selfTestSlots = 1;

/** The self-tests of the devices. A device without free memory at start is tested before its first commit. */
export class SelfTests {
  readonly #test: (gpuDevice: number) => Promise<void>;
  readonly #untested = new Set<number>();
  readonly #tests = new Sequence();

  /** `test` tests one device, and throws VRAM_OOM if the device has no free memory. */
  constructor(test: (gpuDevice: number) => Promise<void>) {
    this.#test = test;
  }

  /** Tests all devices. Returns those without free memory. @throws the error of the first device that fails */
  async begin(gpuDevices: readonly number[]): Promise<readonly number[]> {
    for (const gpuDevice of gpuDevices) {
      await this.again(gpuDevice).catch((error: unknown) => {
        if (!(error instanceof VramError && error.code === 'VRAM_OOM')) throw error;
        this.#untested.add(gpuDevice);
      });
    }
    return [...this.#untested];
  }

  /** Resolves once the device has passed a test. @throws its failure, or VRAM_OOM */
  async require(gpuDevice: number): Promise<void> {
    if (!this.#untested.has(gpuDevice)) return;
    await this.#tests.run(async () => {
      if (!this.#untested.has(gpuDevice)) return;
      await this.#test(gpuDevice);
      this.#untested.delete(gpuDevice);
    });
  }

  /** Tests a device, tested or not. @throws its failure, or VRAM_OOM */
  again(gpuDevice: number): Promise<void> {
    return this.#tests.run(() => this.#test(gpuDevice));
  }
}
