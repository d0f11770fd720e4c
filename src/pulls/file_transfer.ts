import { outcomeOf, WorkerError } from '../errors.js';
import type { Ingest } from '../residency/commit/ingest.js';
import type { ShardGroup } from '../residency/commit/shard_group.js';
import { copyYielding } from '../residency/commit/yielding_sink.js';
import { copyAll } from '../sources/copy_all.js';
import type { TransferOptions } from '../sources/egress/request.js';
import type { ModelFileEntry } from '../sources/model.js';
import type { RangedSink } from '../sources/ranged_sink.js';
import type { Pull } from './pull.js';
import type { PullFile } from './pull_file.js';

/** A file whose bytes have another digest than expected is fetched once more. */
const maxPasses = 2;

/** A file of a pull, and the place where its bytes go. */
export interface Transfer {
  readonly pull: Pull;
  readonly file: PullFile;
  readonly entry: ModelFileEntry;
  readonly group: ShardGroup;
  /** The place of the file in the group. */
  readonly index: number;
  /** With the time that is left. */
  readonly options: () => TransferOptions;
}

/** Brings the bytes of one file onto the device, and has them proven. */
export class FileTransfer {
  readonly #transfer: Transfer;
  #ingest: Ingest<void> | undefined;
  #failure: unknown;

  constructor(transfer: Transfer) {
    this.#transfer = transfer;
  }

  get file(): PullFile {
    return this.#transfer.file;
  }

  /** The error that ended the transfer; undefined if it did not fail, or only because of another one. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Updates the progress of the file. */
  measure(): void {
    if (this.#ingest !== undefined && this.file.state === 'receiving') this.file.progress(this.#ingest.receivedBytes);
  }

  /** @throws WorkerError, the source's errors, or the reason of the signal; the bytes are then no longer on the device */
  async run(): Promise<void> {
    for (let pass = 1; ; pass++) {
      try {
        return await this.#receive();
      } catch (error) {
        const { group, file, pull } = this.#transfer;
        this.measure();
        const isRefetched = pass < maxPasses && outcomeOf(error) === 'DIGEST_MISMATCH' && !group.signal.aborted;
        if (!isRefetched || !(error instanceof WorkerError)) {
          if (!group.signal.aborted) this.#failure = error;
          throw error;
        }
        file.refetch(error);
        pull.fileChanged();
      }
    }
  }

  async #receive(): Promise<void> {
    const { pull, file, group, index } = this.#transfer;
    const ingest = group.begin(index);
    try {
      this.#ingest = ingest;
      file.begin();
      pull.fileChanged();
      await ingest.start();
      await copyYielding(ingest, (sink) => this.#copy(sink));
      this.measure();
      await ingest.finish();
    } catch (error) {
      await ingest.abort(error);
      throw error;
    }
    file.markProven();
    pull.fileChanged();
  }

  async #copy(sink: RangedSink): Promise<void> {
    const { entry } = this.#transfer;
    const options = this.#options;
    const source = await entry.open(options);
    try {
      if (source.totalBytes !== entry.bytes) {
        throw new WorkerError('SOURCE_CHANGED', 'The file has another length than before');
      }
      await copyAll(source, sink, options);
    } finally {
      source.close();
    }
  }

  get #options(): TransferOptions {
    const { pull, file, group, options } = this.#transfer;
    const { timeoutMs, bandwidth } = options();
    // The group ends with the pull, and with the first file that failed. A file that is being opened must not outlive it.
    const { signal } = group;
    const onRetry = ({ error }: { readonly error: WorkerError }) => {
      this.measure();
      file.retry(error);
      pull.fileChanged();
    };
    return { signal, timeoutMs, bandwidth, onRetry };
  }
}
