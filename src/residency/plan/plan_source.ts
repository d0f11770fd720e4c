import { WorkerError } from '../../errors.js';
import type { Digest } from '../../seal/digest.js';
import type { TransferOptions } from '../../sources/egress/request.js';
import type { FileFormat } from '../../sources/formats/model.js';
import { inspectModel } from '../../sources/inspect_model.js';
import type { ResolvedModel } from '../../sources/model.js';
import type { DigestOrigin } from '../../sources/ranged_source.js';
import type { SourceReference } from '../../sources/reference.js';
import { isModelRef } from '../limits.js';
import { withDeadline } from '../source/deadline.js';
import type { ModelFinder } from '../source/model_sources.js';
import type { WorkerState } from '../state/worker_state.js';
import { type PlanReport, type PlanRequest, plan } from './plan.js';

/** A plan for the files of a source. */
export interface SourcePlanRequest extends Omit<PlanRequest, 'modelRef' | 'shardBytes'> {
  readonly reference: SourceReference;
  /** Default: the pinned reference, as text. */
  readonly modelRef?: string;
  /** Aborts the plan. */
  readonly signal?: AbortSignal;
}

/** A file that becomes a shard. */
export interface PlannedFile extends Pick<FileFormat, 'path' | 'format'> {
  readonly bytes: number;
  /** What the source claims of it, and where. */
  readonly digest: Digest | null;
  readonly digestFrom: DigestOrigin | null;
}

export interface SourcePlanReport extends PlanReport {
  readonly resolved: Pick<ResolvedModel, 'modelRef' | 'isImmutable' | 'skipped'> & {
    /** By shard index. */
    readonly files: readonly PlannedFile[];
  };
}

/** The most time for a plan. It reads headers only. */
const maxPlanMs = 5 * 60 * 1000;

/**
 * Resolves a reference, checks the formats of its files by their headers, and places each file.
 * @throws WorkerError FORMAT_INVALID, the errors of the source, TOO_MANY_COMMITS, and those of `plan`
 */
export async function planSource(worker: WorkerState, request: SourcePlanRequest): Promise<SourcePlanReport> {
  const { reference, signal, ...rest } = request;
  const { sources, lifecycle } = worker;
  lifecycle.requireStarted();
  worker.devicesOf(rest.gpuDevices);
  if (rest.reserveForSeconds !== undefined) worker.requireOpenToClients();
  const { model, files } = await withDeadline(signal, Math.min(maxPlanMs, sources.deadlineMs), (options) =>
    sources.planLookups.run(options, (each) => find(sources.forPlans, reference, each)),
  );
  const modelRef = rest.modelRef ?? model.modelRef;
  if (rest.reserveForSeconds !== undefined) requireModelRef(modelRef);
  const report = plan(worker, { ...rest, modelRef, shardBytes: files.map(({ bytes }) => bytes) });
  const { isImmutable, skipped } = model;
  return { ...report, resolved: { modelRef: model.modelRef, isImmutable, skipped, files } };
}

async function find({ resolver, inspector }: ModelFinder, reference: SourceReference, options: TransferOptions) {
  const model = await resolver.resolve(reference, options);
  if (model.shards.length === 0) throw new WorkerError('SOURCE_UNSUPPORTED', 'The source has no file of a model');
  // One file can also be committed, which takes unknown formats.
  const whole = model.shards.length > 1 || model.indexes.length > 0;
  const formats = await inspectModel(inspector, model, { ...options, whole });
  const files = model.shards.map(({ path, bytes, claim }, index): PlannedFile => {
    const format = formats[index]?.format ?? 'unknown';
    return { path, bytes, digest: claim?.digest ?? null, digestFrom: claim?.from ?? null, format };
  });
  return { model, files };
}

/** The commits of a reservation must repeat its `model_ref`, so it must be one that they can send. */
function requireModelRef(modelRef: string): void {
  if (isModelRef(modelRef)) return;
  throw new WorkerError('INVALID_PARAMS', 'model_ref is missing: the pinned reference of the source cannot be one');
}
