import type { DriverKind } from '../seal/handle.js';
import type { SealAlgorithm } from '../seal/key.js';
import type { DriverOptions } from '../vram/driver.js';

/** What the sealing service is made with; every value is validated already. */
export interface ResidencyOptions {
  readonly workerId: string;
  /** The bytes that the seal key is derived from, or that hold it; not kept. */
  readonly sealSecret: Uint8Array;
  readonly sealAlgorithm: SealAlgorithm;
  /** How long a seal key that was replaced still verifies. */
  readonly keyGraceSeconds: number;
  readonly driverKind: DriverKind;
  readonly libraryPath: DriverOptions['libraryPath'];
  readonly driverPath: DriverOptions['driverPath'];
  readonly kernelsPath: DriverOptions['kernelsPath'];
  readonly maxModelBytes: number;
  readonly commitSlots: number;
  /** Devices to use; undefined: all. */
  readonly gpuDevices: readonly number[] | undefined;
  /** Where commits by reference read; undefined: they are refused. */
  readonly modelDir: string | undefined;
  readonly auditLog: string | undefined;
  /** The clock that reservations go by, in milliseconds; the process's monotonic one where it is not given. */
  readonly monotonicMs?: () => number;
  /** Told once when a device's context is lost: only a new process helps. */
  readonly onLost: (error: Error) => void;
}
