import { WorkerError } from '../../errors.js';
import { AbortScope } from '../egress/abort_scope.js';
import { forbidden, SourceFault } from '../egress/fault.js';
import type { TransferOptions } from '../egress/request.js';
import { isFilePath } from '../file_path.js';
import { kindOfFile } from '../file_pattern.js';
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

  constructor(registry: SourceRegistry) {
    this.#registry = registry;
  }

  /** @throws WorkerError INVALID_PARAMS, and every SOURCE_ code */
  async resolve(reference: S3Reference, options: TransferOptions): Promise<ResolvedModel> {
    const source = this.#registry.find('s3', reference.name);
    const { settings } = source;
    if (settings.type !== 's3') throw forbidden('No source of this name and type is configured');
    const bucket = new Bucket(source, settings, reference.bucket);
    const scope = new AbortScope(options.signal);
    const { timeoutMs } = options;
    if (timeoutMs !== undefined) {
      const late = () => new SourceFault('SOURCE_TIMEOUT', 'The source did not list the model in time');
      scope.abortAfter(source.egress.environment.clock, timeoutMs, late);
    }
    try {
      const within = { ...options, signal: scope.signal };
      return reference.key.endsWith('/')
        ? await resolvePrefix(bucket, reference, within)
        : await resolveObject(bucket, reference, within);
    } finally {
      scope.dispose();
    }
  }
}

async function resolveObject(
  bucket: Bucket,
  { key, version_id: versionId }: S3Reference,
  options: TransferOptions,
): Promise<ResolvedModel> {
  const path = key.slice(key.lastIndexOf('/') + 1);
  if (!isFilePath(path)) throw new WorkerError('INVALID_PARAMS', 'The key does not end in the name of a file');
  if (kindOfFile(path) === 'index') {
    throw new WorkerError(
      'INVALID_PARAMS',
      'The key is an index: name the prefix of the model, with a slash at its end',
    );
  }
  const object = await S3Object.open(bucket, { key, versionId }, options);
  return {
    modelRef: textOf(object.reference),
    isImmutable: object.isImmutable,
    shards: [object.entry(path)],
    indexes: [],
    skipped: [],
  };
}
