import { WorkerError } from '../../errors.js';
import { VramError } from '../../vram/status.js';
import type { DeviceMemory } from './device_memory.js';

/**
 * Detects that the driver is lost: by a sticky error, by a call that hangs, or by two failed queries of a device in
 * a row. It queries each device periodically, so that an idle worker detects a loss too.
 */
export class DriverHealth {
  readonly #devices: ReadonlyMap<number, DeviceMemory>;
  readonly #onLost: (error: WorkerError) => void;
  #checking: Promise<void> | undefined;
  #nextCheck: Promise<void> | undefined;
  #isLost = false;

  /** `onLost` is called once, with the error that every later request gets. */
  constructor(devices: ReadonlyMap<number, DeviceMemory>, onLost: (error: WorkerError) => void) {
    this.#devices = devices;
    this.#onLost = onLost;
  }

  /** Examines an error and returns it. Every error of the driver must pass through here. */
  report(error: unknown): unknown {
    if (error instanceof VramError && error.code === 'CUDA_ERROR') {
      if (error.sticky) this.markLost(error);
      else void this.check();
    }
    return error;
  }

  markLost(cause: VramError): void {
    if (this.#isLost) return;
    this.#isLost = true;
    const options = { cause, retriable: true, retryAfterMs: 5000 };
    this.#onLost(new WorkerError('CUDA_ERROR', `The GPU driver is lost: ${cause.message}`, options));
  }

  /**
   * Queries every device. Never rejects. Calls during a check wait together for one that follows, because the check in
   * progress may have queried a device before the failure that the caller knows of.
   */
  check(): Promise<void> {
    if (this.#checking === undefined) return this.#start();
    this.#nextCheck ??= this.#checking.then(() => {
      this.#nextCheck = undefined;
      return this.#start();
    });
    return this.#nextCheck;
  }

  #start(): Promise<void> {
    this.#checking = this.#check().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  async #check(): Promise<void> {
    const failed = await this.#failuresOf([...this.#devices.values()]);
    const failedAgain = await this.#failuresOf(failed.map(({ device }) => device));
    const dead = failed.find(({ error }) => error.sticky) ?? failedAgain[0];
    if (dead !== undefined) this.markLost(dead.error);
  }

  async #failuresOf(devices: readonly DeviceMemory[]): Promise<{ device: DeviceMemory; error: VramError }[]> {
    const failures = await Promise.all(
      devices.map((device) =>
        device.refresh().then(
          () => [],
          (error: unknown) => (error instanceof VramError && error.code === 'CUDA_ERROR' ? [{ device, error }] : []),
        ),
      ),
    );
    return failures.flat();
  }
}
