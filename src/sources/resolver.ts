import type { TransferOptions } from './egress/request.js';
import { FileResolver } from './file_resolver.js';
import type { Inspector } from './formats/inspector.js';
import { HfResolver } from './hf/hf_resolver.js';
import { HfCacheResolver } from './hf_cache/hf_cache_resolver.js';
import { HttpResolver } from './http/http_resolver.js';
import { withoutUnlisted } from './index_model.js';
import type { LocalFiles } from './local_files.js';
import type { ModelResolver, ResolvedModel } from './model.js';
import { OciResolver } from './oci/oci_resolver.js';
import type { SourceReference } from './reference.js';
import type { SourceRegistry } from './registry.js';
import { S3Resolver } from './s3/s3_resolver.js';

/** What the resolvers of all types share. */
export interface ResolverParts {
  readonly registry: SourceRegistry;
  readonly localFiles: LocalFiles;
  readonly inspector: Inspector;
}

/** Finds the files of a model in any source. */
export class SourceResolver implements ModelResolver {
  readonly #registry: SourceRegistry;
  readonly #localFiles: LocalFiles;
  readonly #inspector: Inspector;

  constructor({ registry, localFiles, inspector }: ResolverParts) {
    this.#registry = registry;
    this.#localFiles = localFiles;
    this.#inspector = inspector;
  }

  async resolve(reference: SourceReference, options: TransferOptions): Promise<ResolvedModel> {
    const model = await this.#find(reference, options);
    // These two read the index already.
    if (reference.type === 'http' || reference.type === 'file') return model;
    const named = 'files' in reference ? (reference.files ?? []) : [];
    return withoutUnlisted(model, this.#inspector, named, options);
  }

  #find(reference: SourceReference, options: TransferOptions): Promise<ResolvedModel> {
    switch (reference.type) {
      case 'file':
        return new FileResolver(this.#localFiles, this.#inspector).resolve(reference, options);
      case 'http':
        return new HttpResolver(this.#registry, this.#inspector).resolve(reference, options);
      case 'hf':
        return new HfResolver(this.#registry).resolve(reference, options);
      case 'hf_cache':
        return new HfCacheResolver(this.#localFiles).resolve(reference, options);
      case 'oci':
        return new OciResolver(this.#registry).resolve(reference, options);
      case 's3':
        return new S3Resolver(this.#registry, this.#inspector).resolve(reference, options);
    }
  }
}
