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
  /** How often sealed shards are verified in the background, in seconds; 0: never. */
  readonly scrubSeconds: number;
  readonly scrubBytesPerSecond: number;
  /** Milliseconds to wait after each failed repair of a shard; after the last it is given up. */
  readonly repairBackoffMs?: readonly number[];
  /** Where the shards are listed that a later process is to have again; undefined: nowhere. */
  readonly manifest: string | undefined;
  /** Where is told what nobody asked for. */
  readonly log?: (level: 'info' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Told once when the driver is lost, or does not answer any more: only a new process helps. */
  readonly onLost: (error: Error) => void;
}
