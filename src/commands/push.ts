import { answerOf, Commit } from './client/answers.js';
import { ProblemError } from './client/client_error.js';
import { connect } from './client/connection.js';
import { onInterrupts, statusAfter } from './client/interrupts.js';
import { printJson, printLine, printNote } from './client/output.js';
import { reporterFor } from './client/reporting.js';
import { clientStatus } from './client/status.js';
import { type DocumentedCommand, InputError } from './command.js';
import { digestOf, type LocalFile, localFile } from './push/file_digest.js';
import { pushHelp } from './push/help.js';
import { namesFor, type PushOptions, pushOptions } from './push/options.js';
import { FilesProgress } from './push/transfer.js';
import { type CommitFields, TusClient } from './push/tus_client.js';
import { Upload } from './push/upload.js';
import type { Reporter } from './terminal/reporter.js';

const commitOf = answerOf(Commit, 'commit');

/** `vram-worker push`: hashes the files, and uploads them one after the other. */
async function run(args: readonly string[]): Promise<number> {
  const options = pushOptions(args);
  const files = await Promise.all(options.paths.map(localFile));
  const client = await connect(options.connection, process.env);
  const reporter = reporterFor(options.isJson, process.env);
  const abort = new AbortController();
  let interrupted: number | undefined;
  const stopListening = onInterrupts((signal, count) => {
    interrupted = statusAfter(signal);
    if (count > 1) process.exit(interrupted);
    abort.abort();
  });
  try {
    const push = new Push(new TusClient(client, abort.signal), files, { options, reporter, signal: abort.signal });
    await push.run();
    return clientStatus.done;
  } catch (error) {
    reporter.stop();
    if (interrupted === undefined) {
      if (options.isJson && error instanceof ProblemError) printJson({ event: 'error', problem: error.problem });
      throw error;
    }
    printNote('canceled: the worker frees the memory of the upload');
    return interrupted;
  } finally {
    stopListening();
  }
}

interface PushContext {
  readonly options: PushOptions;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

class Push {
  readonly #tus: TusClient;
  readonly #files: readonly LocalFile[];
  readonly #context: PushContext;

  constructor(tus: TusClient, files: readonly LocalFile[], context: PushContext) {
    this.#tus = tus;
    this.#files = files;
    this.#context = context;
  }

  async run(): Promise<void> {
    const { reporter } = this.#context;
    const digests = await this.#digests();
    const progress = new FilesProgress('sending', this.#files, reporter);
    const sealed: (() => void)[] = [];
    for (const [index, file] of this.#files.entries()) {
      const answer = await this.#upload(index, file, digests[index], progress);
      sealed.push(() => this.#print(answer));
      if (this.#context.options.isJson) sealed.pop()?.();
    }
    progress.end('sealed');
    reporter.stop();
    for (const print of sealed) print();
  }

  async #digests(): Promise<string[]> {
    const { options, reporter, signal } = this.#context;
    if (!options.computesDigest) return [];
    const progress = new FilesProgress('hashing', this.#files, reporter);
    const digests = [];
    for (const [index, file] of this.#files.entries())
      digests.push(await digestOf(file, (count) => progress.at(index, count), signal));
    progress.end('hashing');
    return digests;
  }

  async #upload(index: number, file: LocalFile, digest: string | undefined, progress: FilesProgress) {
    const { options, reporter, signal } = this.#context;
    const upload = new Upload(this.#tus, file, this.#fields(index, digest), {
      retrySeconds: options.retrySeconds,
      signal,
      onBytes: (offset) => progress.at(index, offset),
      onRetry: (error) => reporter.note(`retrying: ${error.message}`),
      onRestart: () => reporter.note('the worker no longer has the upload; it begins again'),
    });
    try {
      return commitOf(await upload.run());
    } catch (error) {
      // A failed upload has no memory on the worker, and one that cannot be ended expires.
      if (signal.aborted || error instanceof InputError) await upload.end().catch(() => undefined);
      throw error;
    }
  }

  #fields(index: number, digest: string | undefined): CommitFields {
    const { options } = this.#context;
    const { modelRef, prefix } = namesFor(this.#files[0]?.name ?? '', options);
    return {
      shard_id: `${prefix}-${index}`,
      model_ref: modelRef,
      shard_index: index,
      total_shards: this.#files.length,
      gpu_device: options.gpus?.[index % options.gpus.length],
      expected_digest: digest,
    };
  }

  #print({ handle, shard }: Commit): void {
    if (this.#context.options.isJson) printJson({ event: 'sealed', shard, handle });
    else printLine(`${shard.shard_id}  ${shard.state}  GPU ${shard.gpu_device}  ${shard.digest ?? '-'}`);
  }
}

export const push: DocumentedCommand = { run, help: pushHelp };
