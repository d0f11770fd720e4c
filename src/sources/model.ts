import type { TransferOptions } from './egress/request.js';
import type { DigestClaim, RangedSource } from './ranged_source.js';
import type { SourceReference } from './reference.js';

/** One file of a resolved model. Its bytes have not been read. */
export interface ModelFileEntry {
  /** The path in the model, with slashes. A name, never a path of this host. */
  readonly path: string;
  readonly bytes: number;
  /** What the source claims of the whole file; undefined without a claim. */
  readonly claim: DigestClaim | undefined;
  /**
   * Names this file alone, at this version, so that it can be repaired and restored from the source. Undefined if no
   * manifest may name it, for example because its URL has a query.
   */
  readonly pinned: SourceReference | undefined;
  /** Opens the file at this version. The caller closes it. @throws WorkerError with a SOURCE_ code */
  open(options: TransferOptions): Promise<RangedSource>;
}

/** A model whose revision is resolved. */
export interface ResolvedModel {
  /** The reference as text, with the resolved revision, such as `hf://org/name@<commit>`. */
  readonly modelRef: string;
  /** Whether the reference always names the same bytes: a commit, a manifest digest, an object version. */
  readonly isImmutable: boolean;
  /** Whether a file needs a digest before its transfer: the source's claim, or the client's. Undefined: `require`. */
  readonly digestRule?: 'require' | 'allow' | undefined;
  /** The files that become shards, in the order of their shard indexes. */
  readonly shards: readonly ModelFileEntry[];
  /** The indexes of safetensors files. They are checked, and are not shards. */
  readonly indexes: readonly ModelFileEntry[];
  /** The paths of all other files. */
  readonly skipped: readonly string[];
}

/** Finds the files of a model. One of these exists for each type of source. */
export interface ModelResolver<R extends SourceReference = SourceReference> {
  /**
   * Resolves a reference without reading the bytes of shards.
   * @throws WorkerError INVALID_PARAMS, and every SOURCE_ code
   */
  resolve(reference: R, options: TransferOptions): Promise<ResolvedModel>;
}
