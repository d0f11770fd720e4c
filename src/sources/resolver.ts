import type { TransferOptions } from './egress/request.js';
import { FileResolver } from './file_resolver.js';
import type { Inspector } from './formats/inspector.js';
import { withoutUnlisted } from './index_model.js';
import type { LocalFiles } from './local_files.js';
import type { ModelResolver, ResolvedModel } from './model.js';
import type { SourceReference } from './reference.js';
import type { SourceRegistry } from './registry.js';

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
    // These have found only what the index lists.
    const isByIndex = reference.type === 's3' && !reference.key.endsWith('/');
    if (reference.type === 'http' || reference.type === 'file' || isByIndex) return model;
    const named = 'files' in reference ? (reference.files ?? []) : [];
    return withoutUnlisted(model, this.#inspector, named, options);
  }

  /** Loads the code of a type when it is first used. */
  async #find(reference: SourceReference, options: TransferOptions): Promise<ResolvedModel> {
    switch (reference.type) {
      case 'file':
        return new FileResolver(this.#localFiles, this.#inspector).resolve(reference, options);
      case 'http': {
        const { HttpResolver } = await import('./http/http_resolver.js');
        return new HttpResolver(this.#registry, this.#inspector).resolve(reference, options);
      }
      case 'hf': {
        const { HfResolver } = await import('./hf/hf_resolver.js');
        return new HfResolver(this.#registry).resolve(reference, options);
      }
      case 'hf_cache': {
        const { HfCacheResolver } = await import('./hf_cache/hf_cache_resolver.js');
        return new HfCacheResolver(this.#localFiles).resolve(reference, options);
      }
      case 'oci': {
        const { OciResolver } = await import('./oci/oci_resolver.js');
        return new OciResolver(this.#registry).resolve(reference, options);
      }
      case 's3': {
        const { S3Resolver } = await import('./s3/s3_resolver.js');
        return new S3Resolver(this.#registry, this.#inspector).resolve(reference, options);
      }
    }
  }
}
