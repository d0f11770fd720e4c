import { on } from 'node:events';
import { Worker as Thread } from 'node:worker_threads';
import { WorkerError } from '../../errors.js';
import type { InspectionMessage, InspectionResult, InspectionTask } from './inspection.js';
import { formatError } from './invalid_format.js';
import type { FileFormat, FileSize, Model, RangedFile } from './model.js';
import { ReadAhead } from './read_ahead.js';
import { ThreadSlots } from './thread_slots.js';

const threadUrl = new URL('./inspection_thread.js', import.meta.url);
/** More than the bounds of a check allow: V8 may abort the process at this limit, so it is not the bound. */
const resourceLimits = { maxOldGenerationSizeMb: 1024, maxYoungGenerationSizeMb: 32 };

export interface InspectorOptions {
  /** The most bytes of a header, in bytes: WORKER_SOURCE_HEADER_BYTES. */
  readonly headerBytes: number;
  /** Inspections that run at once; others wait. */
  readonly threads?: number;
}

/**
 * Checks the formats of models by their headers, before memory is taken for them. It reads nothing but headers, the
 * padding at the end of a GGUF file, and indexes. Each inspection has a thread of its own, and ends with its signal.
 */
export class Inspector {
  readonly #headerBytes: number;
  readonly #slots: ThreadSlots;

  constructor({ headerBytes, threads = 2 }: InspectorOptions) {
    this.#headerBytes = headerBytes;
    this.#slots = new ThreadSlots(threads);
  }

  /**
   * The formats of a model's files, in their order.
   * @throws WorkerError FORMAT_INVALID with the first broken rule, HOST_OOM, SOURCE_INVALID; errors of the reads; the
   * reason of the signal
   */
  async inspect(model: Model, signal: AbortSignal): Promise<readonly FileFormat[]> {
    const sizes: Model<FileSize> = {
      files: model.files.map(sizeOf),
      indexes: model.indexes.map(sizeOf),
      whole: model.whole,
    };
    const task: InspectionTask = { kind: 'model', model: sizes, headerBytes: this.#headerBytes };
    const result = await this.#run(task, [...model.files, ...model.indexes], signal);
    return 'formats' in result ? result.formats : [];
  }

  /** The plain names of the files that an index lists, sorted. They are stored next to it. Throws as `inspect` does. */
  async indexedFiles(index: RangedFile, signal: AbortSignal): Promise<readonly string[]> {
    const task: InspectionTask = { kind: 'index', index: sizeOf(index), headerBytes: this.#headerBytes };
    const result = await this.#run(task, [index], signal);
    return 'names' in result ? result.names : [];
  }

  async #run(task: InspectionTask, files: readonly RangedFile[], signal: AbortSignal): Promise<InspectionResult> {
    const result = await this.#slots.run(signal, () => this.#converse(task, files, signal));
    if ('fault' in result) throw formatError(result.fault);
    return result;
  }

  async #converse(task: InspectionTask, files: readonly RangedFile[], signal: AbortSignal): Promise<InspectionResult> {
    const ended = new AbortController();
    const reads = new ReadAhead(files, this.#headerBytes, AbortSignal.any([signal, ended.signal]));
    const thread = new Thread(threadUrl, { workerData: task, env: {}, execArgv: [], resourceLimits });
    // Errors also end the loop below. This listener is for one after the loop, which would stop the process.
    thread.on('error', () => undefined);
    try {
      for await (const [message] of on(thread, 'message', { signal, close: ['exit'] })) {
        const answer: InspectionMessage = message;
        if ('result' in answer) return answer.result;
        const bytes = await reads.read(answer.read);
        thread.postMessage(bytes, [bytes.buffer]);
      }
      throw new WorkerError('INTERNAL', 'The thread that checks formats ended early');
    } catch (error) {
      throw errorOf(error, signal);
    } finally {
      ended.abort();
      await thread.terminate();
    }
  }
}

const sizeOf = ({ path, bytes }: RangedFile): FileSize => ({ path, bytes });

function errorOf(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  const { code } = error as { code?: unknown };
  if (code !== 'ERR_WORKER_OUT_OF_MEMORY') return error;
  return new WorkerError('HOST_OOM', 'The header of a file takes too much memory', { cause: error });
}
