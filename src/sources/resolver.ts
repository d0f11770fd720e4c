import { WorkerError } from '../errors.js';
import type { TransferOptions } from './egress/request.js';
import type { LocalFiles } from './local_files.js';
import type { ModelResolver, ResolvedModel } from './model.js';
import type { SourceReference } from './reference.js';
import type { SourceRegistry } from './registry.js';

/** Finds the files of a model in any source. */
export class SourceResolver implements ModelResolver {
  readonly #registry: SourceRegistry;
  readonly #localFiles: LocalFiles;

  constructor(registry: SourceRegistry, localFiles: LocalFiles) {
    this.#registry = registry;
    this.#localFiles = localFiles;
  }

  async resolve(reference: SourceReference, _options: TransferOptions): Promise<ResolvedModel> {
    void [this.#registry, this.#localFiles];
    throw new WorkerError('SOURCE_UNSUPPORTED', `Sources of the type ${reference.type} are not supported`);
  }
}
