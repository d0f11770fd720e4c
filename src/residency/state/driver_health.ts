import { WorkerError } from '../../errors.js';
import { VramError } from '../../vram/status.js';
import type { DeviceMemory } from './device_memory.js';

/**
 * Whether the driver lives. It is asked about each device again and again, also while nobody wants anything of it; an
 * error after which only a new process helps, or two failures to answer in a row, and it counts as lost.
 */
export class DriverHealth {
  readonly #devices: ReadonlyMap<number, DeviceMemory>;
  readonly #onLost: (error: WorkerError) => void;
  #beating: Promise<void> | undefined;
  #lost: WorkerError | undefined;

  /** `onLost` is told once. */
  constructor(devices: ReadonlyMap<number, DeviceMemory>, onLost: (error: WorkerError) => void) {
    this.#devices = devices;
    this.#onLost = onLost;
  }

  /** What everybody is told once there is no driver any more: the next process may have one. */
  get lossError(): WorkerError | undefined {
    return this.#lost;
  }

  /** Every error of the driver passes here. */
  report(error: unknown): void {
    if (!(error instanceof VramError) || error.code !== 'CUDA_ERROR') return;
    if (error.sticky) this.markLost(error);
    else void this.check();
  }

  markLost(cause: VramError): void {
    if (this.#lost !== undefined) return;
    const detail = `the driver is lost: ${cause.message}`;
    this.#lost = new WorkerError('CUDA_ERROR', detail, { cause, retriable: true, retryAfterMs: 5000 });
    this.#onLost(this.#lost);
  }

  /** Asks about every device; never rejects. Calls at one time share one. */
  check(): Promise<void> {
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  async #beat(): Promise<void> {
    const failed = await this.#ask([...this.#devices.values()]);
    const again = await this.#ask(failed.map(({ device }) => device));
    const dead = failed.find(({ error }) => error.sticky) ?? again[0];
    if (dead !== undefined) this.markLost(dead.error);
  }

  async #ask(devices: readonly DeviceMemory[]): Promise<{ device: DeviceMemory; error: VramError }[]> {
    const answers = await Promise.all(
      devices.map((device) =>
        device.refresh().then(
          () => [],
          (error: unknown) => (error instanceof VramError && error.code === 'CUDA_ERROR' ? [{ device, error }] : []),
        ),
      ),
    );
    return answers.flat();
  }
}
