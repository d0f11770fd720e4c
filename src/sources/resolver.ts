import { WorkerError } from '../errors.js';
import type { TransferOptions } from './egress/request.js';
import type { LocalFiles } from './local_files.js';
import type { ModelResolver, ResolvedModel } from './model.js';
import type { SourceReference } from './reference.js';
import type { SourceRegistry } from './registry.js';
import { S3Resolver } from './s3/s3_resolver.js';

/** Finds the files of a model in any source. */
export class SourceResolver implements ModelResolver {
  readonly #registry: SourceRegistry;
  readonly #localFiles: LocalFiles;

  constructor(registry: SourceRegistry, localFiles: LocalFiles) {
    this.#registry = registry;
    this.#localFiles = localFiles;
  }

  async resolve(reference: SourceReference, options: TransferOptions): Promise<ResolvedModel> {
    if (reference.type === 's3') return new S3Resolver(this.#registry).resolve(reference, options);
    void this.#localFiles;
    throw new WorkerError('SOURCE_UNSUPPORTED', `Sources of the type ${reference.type} are not supported`);
  }
}
