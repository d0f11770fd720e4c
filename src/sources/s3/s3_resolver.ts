import { WorkerError } from '../../errors.js';
import { AbortScope } from '../egress/abort_scope.js';
import { SourceFault } from '../egress/fault.js';
import type { TransferOptions } from '../egress/request.js';
import { isFilePath } from '../file_path.js';
import type { Inspector } from '../formats/inspector.js';
import { filesOf } from '../index_model.js';
import type { ModelResolver, ResolvedModel } from '../model.js';
import type { S3Reference } from '../reference.js';
import { textOf } from '../reference_text.js';
import type { SourceRegistry } from '../registry.js';
import { Bucket } from './bucket.js';
import { resolvePrefix } from './prefix.js';
import { S3Object } from './s3_object.js';

/** Finds the objects of a model in an S3 bucket. */
export class S3Resolver implements ModelResolver<S3Reference> {
  readonly #registry: SourceRegistry;
  readonly #inspector: Inspector;

  constructor(registry: SourceRegistry, inspector: Inspector) {
    this.#registry = registry;
    this.#inspector = inspector;
  }

  /** @throws WorkerError INVALID_PARAMS, and every SOURCE_ code */
  async resolve(reference: S3Reference, options: TransferOptions): Promise<ResolvedModel> {
    const source = this.#registry.find('s3', reference.name);
    const { settings } = source;
    const bucket = new Bucket(source, settings, reference.bucket);
    const scope = new AbortScope(options.signal);
    const { timeoutMs } = options;
    if (timeoutMs !== undefined) {
      const late = () => new SourceFault('SOURCE_TIMEOUT', 'The source did not list the model in time');
      scope.abortAfter(source.egress.environment.clock, timeoutMs, late);
    }
    try {
      const within = { ...options, signal: scope.signal };
      const model = reference.key.endsWith('/')
        ? await resolvePrefix(bucket, reference, within)
        : await this.#resolveObject(bucket, reference, within);
      return { ...model, digestRule: settings.digest ?? 'require' };
    } finally {
      scope.dispose();
    }
  }

  /** An object, or an index and the objects that it lists next to it. */
  async #resolveObject(
    bucket: Bucket,
    { key, version_id: versionId }: S3Reference,
    options: TransferOptions,
  ): Promise<ResolvedModel> {
    const folder = key.slice(0, key.lastIndexOf('/') + 1);
    const path = key.slice(folder.length);
    if (!isFilePath(path)) throw new WorkerError('INVALID_PARAMS', 'The key does not end in the name of a file');
    const object = await S3Object.open(bucket, { key, versionId }, options);
    const sibling = async (name: string) =>
      (await S3Object.open(bucket, { key: `${folder}${name}` }, options)).entry(name);
    const files = await filesOf(object.entry(path), this.#inspector, sibling, options);
    const isAlone = files.indexes.length === 0;
    return { modelRef: textOf(object.reference), isImmutable: isAlone && object.isImmutable, ...files };
  }
}
