import type { DriverKind } from '../seal/handle.js';
import type { DriverOptions } from '../vram/driver.js';

/** What the sealing service is made with; every value is validated already. */
export interface ResidencyOptions {
  readonly workerId: string;
  /** The bytes that the seal key is derived from. */
  readonly sealSecret: Uint8Array;
  readonly driverKind: DriverKind;
  readonly libraryPath: DriverOptions['libraryPath'];
  readonly driverPath: DriverOptions['driverPath'];
  readonly kernelsPath: DriverOptions['kernelsPath'];
  readonly maxModelBytes: number;
  readonly commitSlots: number;
  /** Admitted commits that may wait for a slot. */
  readonly commitQueue: number;
  readonly driverTimeoutSeconds: DriverOptions['driverTimeoutSeconds'];
  /** Devices to use; undefined: all. */
  readonly gpuDevices: readonly number[] | undefined;
  /** Where commits by reference read; undefined: they are refused. */
  readonly modelDir: string | undefined;
  readonly auditLog: string | undefined;
  /** An audit log's file that would grow beyond is put aside, and a new one goes on. */
  readonly auditMaxBytes: number;
  /** The clock that reservations go by, in milliseconds; the process's monotonic one where it is not given. */
  readonly monotonicMs?: () => number;
  /** Told once when the driver is lost, or does not answer any more: only a new process helps. */
  readonly onLost: (error: Error) => void;
}
