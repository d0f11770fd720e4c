import { RateMeter } from './rate_meter.js';

/** One file of a transfer. */
export interface ProgressFile {
  readonly name: string;
  readonly state: 'waiting' | 'active' | 'done' | 'failed';
  readonly bytes: number;
  readonly receivedBytes: number;
  /** Undefined until it is known. */
  readonly bytesPerSecond?: number | undefined;
}

/** How far a transfer is. */
export interface Progress {
  /** One word, such as `receiving`. */
  readonly state: string;
  /** What has happened to a file that is done. */
  readonly completed: 'hashed' | 'received' | 'sealed';
  /** Undefined until the size is known. */
  readonly bytes: number | undefined;
  readonly receivedBytes: number;
  readonly bytesPerSecond: number | undefined;
  readonly remainingSeconds: number | undefined;
  readonly files: readonly ProgressFile[];
}

/** What a worker or a reader reports. A rate that it does not report is measured. */
export interface ProgressReport {
  readonly state: string;
  readonly completed: Progress['completed'];
  readonly bytes: number | undefined;
  readonly receivedBytes: number;
  readonly bytesPerSecond?: number | undefined;
  readonly remainingSeconds?: number | undefined;
  readonly files: readonly Omit<ProgressFile, 'bytesPerSecond'>[];
}

/**
 * Turns reports into progress that never falls back, with a rate for each file. After a reconnect or a repeated file, a
 * report can have fewer bytes than one before it.
 */
export class ProgressTracker {
  readonly #clockMs: () => number;
  readonly #whole: RateMeter;
  readonly #files = new Map<string, RateMeter>();

  constructor(clockMs: () => number = () => performance.now()) {
    this.#clockMs = clockMs;
    this.#whole = new RateMeter(clockMs);
  }

  next(report: ProgressReport): Progress {
    const files = report.files.map((file) => {
      const receivedBytes = Math.min(file.bytes, this.#meterOf(file.name).add(file.receivedBytes));
      return { ...file, receivedBytes, bytesPerSecond: this.#meterOf(file.name).bytesPerSecond };
    });
    const received = this.#whole.add(report.receivedBytes);
    const receivedBytes = report.bytes === undefined ? received : Math.min(report.bytes, received);
    const bytesPerSecond = report.bytesPerSecond ?? this.#whole.bytesPerSecond;
    return {
      state: report.state,
      completed: report.completed,
      bytes: report.bytes,
      receivedBytes,
      bytesPerSecond,
      remainingSeconds: report.remainingSeconds ?? remaining(report.bytes, receivedBytes, bytesPerSecond),
      files,
    };
  }

  #meterOf(name: string): RateMeter {
    const meter = this.#files.get(name) ?? new RateMeter(this.#clockMs);
    this.#files.set(name, meter);
    return meter;
  }
}

/** The seconds until all bytes are received, at this rate. */
export function remaining(bytes: number | undefined, receivedBytes: number, rate: number | undefined) {
  return bytes === undefined || rate === undefined || rate <= 0 ? undefined : (bytes - receivedBytes) / rate;
}
