import { createHash } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Residency } from '../residency/residency.js';
import { FileCalls } from '../storage/file_calls.js';

/** Further models get no label: a Kubernetes node should not have hundreds. */
const maxModels = 64;
const checkMs = 1000;
const refreshMs = 60_000;
/** Node Feature Discovery ignores a file after this time. The worker then failed to refresh it twice. */
const lifetimeMs = 3 * refreshMs;
/** A directory that hangs must not delay the exit. */
const closeMs = 1000;

export interface NodeFeaturesOptions {
  /** The file; its directory exists. */
  readonly path: string;
  /** The time limit of a call of the file system. */
  readonly timeoutSeconds: number;
  readonly residency: Pick<Residency, 'readyModels' | 'revision' | 'isLeaving'>;
  readonly logger: Logger;
}

/** The label of a model: its `model_ref` is too long for one, and may have other characters. */
const modelLabel = (modelRef: string): string =>
  `vram-residency.dev/model-${createHash('sha256').update(modelRef).digest('hex').slice(0, 16)}`;

/**
 * Keeps a feature file for the local source of Node Feature Discovery: a label for each ready model, until the file
 * expires. The labels are hints. The file changes within a second after the models, and lags behind them.
 * https://kubernetes-sigs.github.io/node-feature-discovery/stable/usage/customization-guide.html#local-feature-source
 */
export class NodeFeatures {
  readonly #options: NodeFeaturesOptions;
  readonly #files: FileCalls;
  readonly #timer: NodeJS.Timeout;
  /** The write in progress, and one after another after it. */
  #writing: Promise<void> | undefined;
  #written = '';
  #writtenAtMs = Number.NEGATIVE_INFINITY;
  #revision = -1;
  #isFailing = false;

  constructor(options: NodeFeaturesOptions) {
    this.#options = options;
    this.#files = new FileCalls(options.timeoutSeconds);
    this.#timer = setInterval(() => this.#check(), checkMs).unref();
    this.#check();
  }

  /** Removes the file, so that its labels do not outlive the worker. Waits a second at most. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    const removed = Promise.resolve(this.#writing).then(() => this.#run(() => rm(this.#options.path, { force: true })));
    await Promise.race([removed, sleep(closeMs)]);
  }

  #check(): void {
    const { revision, isLeaving } = this.#options.residency;
    const isDue = performance.now() - this.#writtenAtMs >= refreshMs;
    if (this.#writing !== undefined || (revision === this.#revision && !isDue && !isLeaving)) return;
    this.#revision = revision;
    const labels = this.#labels();
    if (labels === this.#written && !isDue) return;
    this.#writing = this.#write(labels).finally(() => {
      this.#writing = undefined;
    });
  }

  #labels(): string {
    const { residency } = this.#options;
    const models = residency.isLeaving ? [] : residency.readyModels();
    return models
      .slice(0, maxModels)
      .map((modelRef) => `${modelLabel(modelRef)}=ready\n`)
      .join('');
  }

  async #write(labels: string): Promise<void> {
    const { path } = this.#options;
    // Node Feature Discovery ignores names that begin with a dot.
    const hidden = join(dirname(path), `.${basename(path)}.new`);
    const expiry = new Date(Date.now() + lifetimeMs).toISOString().replace(/\.[0-9]+Z$/, 'Z');
    // A failed write is tried again at the next refresh, not each second.
    this.#writtenAtMs = performance.now();
    const isWritten = await this.#run(async () => {
      await rm(hidden, { force: true });
      await writeFile(hidden, `# +expiry-time=${expiry}\n${labels}`, { flag: 'wx', mode: 0o644 });
      await rename(hidden, path);
    });
    if (isWritten) this.#written = labels;
  }

  /** Logs the first of several failures. */
  async #run(work: () => Promise<void>): Promise<boolean> {
    const { logger } = this.#options;
    try {
      await this.#files.run('WORKER_NODE_FEATURES_FILE', work);
      this.#isFailing = false;
      return true;
    } catch (error) {
      if (!this.#isFailing) logger.warn({ err: error }, 'the node features file cannot be written');
      this.#isFailing = true;
      return false;
    }
  }
}
