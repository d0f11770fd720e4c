import type { ByteSink } from '../egress/byte_sink.js';
import { invalid } from '../egress/fault.js';
import type { ByteRange, ObjectVersion } from '../egress/range_response.js';
import { transferRange } from '../egress/ranged_transfer.js';
import type { TransferOptions } from '../egress/request.js';
import { probe } from '../http/probe.js';
import type { DigestClaim, RangedSource } from '../ranged_source.js';
import type { Descriptor } from './manifest.js';
import type { OciRepository } from './repository.js';

/** A blob of a registry. Its digest names it, so other versions of it do not exist, and the digest of its bytes decides. */
export class BlobSource implements RangedSource {
  readonly etag = undefined;
  readonly claim: DigestClaim;
  readonly supportsRanges: boolean;
  readonly #repository: OciRepository;
  readonly #version: ObjectVersion;

  private constructor(repository: OciRepository, { digest, bytes }: Descriptor, supportsRanges: boolean) {
    this.#repository = repository;
    this.#version = { totalBytes: bytes, etag: undefined, lastModified: undefined };
    this.claim = { digest, from: 'descriptor' };
    this.supportsRanges = supportsRanges;
  }

  /** Asks for the first byte, which shows the length and whether the registry supports ranges. @throws WorkerError */
  static async open(repository: OciRepository, layer: Descriptor, options: TransferOptions): Promise<BlobSource> {
    const { version, supportsRanges } = await probe(repository.egress, repository.blob(layer.digest), options);
    if (version.totalBytes !== layer.bytes)
      throw invalid('The registry has a blob of another length than its manifest states');
    return new BlobSource(repository, layer, supportsRanges);
  }

  get totalBytes(): number {
    return this.#version.totalBytes;
  }

  copyTo(sink: ByteSink, range: ByteRange, options: TransferOptions): Promise<void> {
    const request = this.#repository.blob(this.claim.digest);
    const { supportsRanges } = this;
    const object = { version: this.#version, supportsRanges, request: () => request };
    return transferRange(this.#repository.egress, { object, range }, sink, options);
  }

  close(): void {}
}
