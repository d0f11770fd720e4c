import type { DriverKind } from '../seal/handle.js';
import type { SealAlgorithm } from '../seal/key.js';
import type { DriverOptions } from '../vram/driver.js';
import type { ModelSourcesOptions } from './source/model_sources.js';

export interface KeeperOptions {
  /** Its Unix socket. */
  readonly path: string;
  readonly token: string;
}

/** The options of the residency service. Every value is already validated. */
export interface ResidencyOptions extends ModelSourcesOptions {
  readonly workerId: string;
  /** The key, or the secret that the key is derived from. Not kept. */
  readonly sealSecret: Uint8Array;
  readonly sealAlgorithm: SealAlgorithm;
  /** How long a previous seal key still verifies. */
  readonly keyGraceSeconds: number;
  readonly driverKind: DriverKind;
  readonly libraryPath: DriverOptions['libraryPath'];
  readonly driverPath: DriverOptions['driverPath'];
  readonly kernelsPath: DriverOptions['kernelsPath'];
  readonly minCudaVersion: DriverOptions['minCudaVersion'];
  readonly maxModelBytes: number;
  readonly commitSlots: number;
  /** How many admitted commits may wait for a slot. */
  readonly commitQueue: number;
  /** Connections to one source, and so the ranges of one shard that can be received at a time. Default: 8. */
  readonly sourceConnections?: number;
  readonly driverTimeoutSeconds: DriverOptions['driverTimeoutSeconds'];
  readonly gpuDevices: DriverOptions['gpuDevices'];
  /** The directory of commits by reference; undefined refuses them. */
  readonly modelDir: string | undefined;
  /** The Hugging Face cache; undefined refuses references to it. */
  readonly hfCacheDir?: string | undefined;
  readonly fileTimeoutSeconds: DriverOptions['fileTimeoutSeconds'];
  /** Whether memory may be shared with other processes: those that attach it, or the keeper. */
  readonly attach: boolean;
  /** Verify a shard after a process that attached it has ended. */
  readonly verifyAfterLease: boolean;
  readonly auditLog: string | undefined;
  /** The audit log is rotated before a file grows beyond this. */
  readonly auditMaxBytes: number;
  /** The clock of reservations, in milliseconds. Default: the monotonic clock of the process. */
  readonly monotonicMs?: () => number;
  /** How often sealed shards are verified in the background; 0 disables it. */
  readonly scrubSeconds: number;
  readonly scrubBytesPerSecond: number;
  /** Delays after each failed repair of a shard. After the last there is no retry. */
  readonly repairBackoffMs?: readonly number[];
  /** The delay after a failed restore of a shard. */
  readonly restoreRetryMs?: number;
  /** The file that lists the shards to restore; undefined for none. */
  readonly manifest: string | undefined;
  /** The process that keeps the memory of shards for the next worker; undefined for none. It needs a manifest. */
  readonly keeper?: KeeperOptions | undefined;
  /** Logs background events. */
  readonly log?: (level: 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Called once if the driver is lost or hangs. Only a new process can recover. */
  readonly onLost: (error: Error) => void;
}

/** More ranges at a time would add pinned memory, and no speed. */
const mostWriters = 16;

/** Ranges of one shard that can be written at a time. A flat digest needs the bytes in order. */
export function maxWritersOf(
  { sourceConnections = 8 }: Pick<ResidencyOptions, 'sourceConnections'>,
  flat: boolean,
): number {
  return flat ? 1 : Math.min(sourceConnections, mostWriters);
}
