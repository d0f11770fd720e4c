import type { Actor } from '../audit/actor.js';
import { internalError, WorkerError } from '../errors.js';
import type { GroupAdmission, GroupRequest } from '../residency/commit/group_admission.js';
import type { CommitRequest } from '../residency/commit/request.js';
import type { ShardGroup } from '../residency/commit/shard_group.js';
import { isModelRef } from '../residency/limits.js';
import { Deadline } from '../residency/source/deadline.js';
import { isLocal } from '../residency/source/pinned.js';
import { raceAbort } from '../sources/egress/abort_scope.js';
import { Bandwidth } from '../sources/egress/bandwidth.js';
import { systemClock } from '../sources/egress/clock.js';
import type { TransferOptions } from '../sources/egress/request.js';
import { HeldFiles } from '../sources/held_files.js';
import { FileTransfer } from './file_transfer.js';
import { checkFormats } from './inspection.js';
import { inLanes } from './lanes.js';
import type { Pull } from './pull.js';
import { PullFile } from './pull_file.js';
import { type ShardFile, shardFilesOf } from './shard_files.js';

/** How often progress is reported. */
const progressMs = 500;

/** What all pulls of a worker share. */
export interface PullEnvironment {
  readonly groups: GroupAdmission;
  /** Files of one pull that are received at the same time. */
  readonly filesAtOnce: number;
}

/** Runs one pull: resolves, inspects, receives, seals. After a failure, it undoes everything before the pull ends. */
export class PullRun {
  readonly pull: Pull;
  readonly #environment: PullEnvironment;
  readonly actor: Actor;
  readonly #deadline: Deadline;
  readonly #bandwidth: Bandwidth;
  readonly #held = new HeldFiles();
  #group: ShardGroup | undefined;
  #transfers: readonly FileTransfer[] = [];

  /** The deadline counts from now, so that time in the queue is part of it. */
  constructor(environment: PullEnvironment, pull: Pull, actor: Actor) {
    this.#environment = environment;
    this.pull = pull;
    this.actor = actor;
    const { deadlineSeconds, bytesPerSecond } = pull.request;
    this.#bandwidth = new Bandwidth(bytesPerSecond, systemClock);
    this.#deadline = new Deadline('pull', deadlineSeconds * 1000);
    this.signal.addEventListener('abort', () => this.#abortGroup(this.signal.reason), { once: true });
  }

  /** Aborts when the pull must end: after `stop`, or at its deadline. */
  get signal(): AbortSignal {
    return this.#deadline.signal;
  }

  /** Ends when the pull has ended. Never rejects. */
  async run(): Promise<void> {
    const progress = setInterval(() => this.#reportProgress(), progressMs).unref();
    try {
      this.signal.throwIfAborted();
      await this.#run();
    } catch (error) {
      await this.#group?.abort(error);
      this.#end(error);
    } finally {
      clearInterval(progress);
      this.#held.close();
      this.#deadline.dispose();
    }
  }

  /** Ends the pull with an error, unless its seal has taken effect. Resolves at once; `run` ends when all is undone. */
  stop(reason: WorkerError): void {
    this.#deadline.abort(reason);
  }

  async #run(): Promise<void> {
    const { pull } = this;
    pull.beginResolving();
    const files = await this.#inspect();
    const group = this.#environment.groups.admit(groupRequestOf(pull, files), this.actor);
    this.#group = group;
    // A stop before this line did not reach the group.
    this.signal.throwIfAborted();
    this.#transfers = pull.files.flatMap((file, index) => {
      const entry = files[index]?.entry;
      if (entry === undefined || !group.isNew(index)) return [];
      return [new FileTransfer({ pull, file, entry, group, index, options: () => this.#options })];
    });
    for (const [index, file] of pull.files.entries()) if (!group.isNew(index)) file.markExisting();
    pull.beginReceiving();
    await inLanes(this.#transfers, this.#environment.filesAtOnce, (each) => each.run(), this.#abortGroup);
    pull.beginProving();
    await group.seal();
    this.#reportProgress();
    pull.markSealed();
  }

  async #inspect(): Promise<readonly ShardFile[]> {
    const { pull, signal } = this;
    const { request } = pull;
    const { resolver, inspector } = this.#environment.groups.sources.of(request.source);
    const found = await raceAbort(resolver.resolve(request.source, this.#options), signal);
    const model = isLocal(request.source) ? { ...found, shards: this.#held.hold(found.shards) } : found;
    const { modelRef, isImmutable, skipped } = model;
    const files = shardFilesOf(request, model.shards, model.digestRule);
    pull.beginInspecting(
      { modelRef, isImmutable, skipped },
      files.map(({ file }) => new PullFile(file)),
    );
    requireModelRef(pull);
    await raceAbort(checkFormats(request.formatCheck, model, inspector, this.#options), signal);
    return files;
  }

  get #options(): TransferOptions {
    const bandwidth = this.#bandwidth.isLimited ? { bandwidth: this.#bandwidth } : {};
    return { ...this.#deadline.options, ...bandwidth, onRetry: ({ error }) => this.pull.retry(error) };
  }

  readonly #abortGroup = (error: unknown): void => void this.#group?.abort(error);

  #reportProgress(): void {
    for (const transfer of this.#transfers) transfer.measure();
    this.pull.reportProgress();
  }

  #end(error: unknown): void {
    for (const transfer of this.#transfers) transfer.measure();
    const { signal } = this;
    const reason = signal.aborted ? signal.reason : error;
    const problem = reason instanceof WorkerError ? reason : internalError(reason);
    if (problem.code === 'PULL_CANCELLED') {
      this.pull.cancel(problem);
      return;
    }
    const failed = this.#transfers.find((transfer) => transfer.failure === reason)?.file;
    this.pull.fail(failed === undefined ? problem : aboutFile(failed, problem), failed);
  }
}

/** The name comes from the source if the client gave none. @throws WorkerError INVALID_PARAMS */
function requireModelRef({ modelRef }: Pull): void {
  if (modelRef !== null && isModelRef(modelRef)) return;
  throw new WorkerError(
    'INVALID_PARAMS',
    'The name of the source is too long, or has invisible characters: set model_ref',
  );
}

/** The shards of a pull, for their admission. */
function groupRequestOf({ request, modelRef }: Pull, files: readonly ShardFile[]): GroupRequest {
  const { reservationId, gpuDevices, flatDigest } = request;
  const reserved = reservationId === undefined ? {} : { reservationId };
  const shards = files.map(({ file, entry, expectedBy }, shardIndex): CommitRequest => {
    const { shardId, bytes, expectedDigest, expectedTreeDigest } = file;
    return {
      shardId,
      modelRef: modelRef ?? '',
      shardIndex,
      totalShards: files.length,
      vramBytes: bytes,
      flatDigest,
      ...reserved,
      ...(expectedDigest === undefined ? {} : { expectedDigest }),
      ...(expectedTreeDigest === undefined ? {} : { expectedTreeDigest }),
      ...(entry.pinned === undefined ? {} : { source: entry.pinned }),
      ...(expectedBy === undefined ? {} : { expectedBy }),
    };
  });
  return { shards, ...reserved, ...(gpuDevices === undefined ? {} : { gpuDevices }) };
}

/** A problem that names the file. */
function aboutFile({ file: { path } }: PullFile, problem: WorkerError): WorkerError {
  const { code, message, sizes, retryAfterMs, retriable, format } = problem;
  return new WorkerError(code, `${path}: ${message}`, {
    cause: problem,
    ...(sizes === undefined ? {} : { sizes }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(retriable === undefined ? {} : { retriable }),
    ...(format === undefined ? {} : { format }),
  });
}
