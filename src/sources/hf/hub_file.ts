import type { ByteSink } from '../egress/byte_sink.js';
import type { ByteRange } from '../egress/range_response.js';
import { transferRange } from '../egress/ranged_transfer.js';
import type { SourceRequest, TransferOptions } from '../egress/request.js';
import type { DigestClaim, RangedSource } from '../ranged_source.js';
import type { Hub } from './hub.js';
import { type CommitFile, ResolveAnswer } from './resolve_answer.js';

/** A file of a hub, at a commit. */
export interface HubFilePlace extends CommitFile {
  readonly repo: string;
}

/**
 * One file of a hub. Each attempt asks the hub for a signed URL again, so one that expires in the middle of a file ends
 * no transfer. Commit, digest and size of each answer must be those of the list.
 */
export class HubFile implements RangedSource {
  readonly etag = undefined;
  readonly supportsRanges = true;
  readonly #hub: Hub;
  readonly #place: HubFilePlace;

  constructor(hub: Hub, place: HubFilePlace) {
    this.#hub = hub;
    this.#place = place;
  }

  get totalBytes(): number {
    return this.#place.bytes;
  }

  get claim(): DigestClaim | undefined {
    const { digest } = this.#place;
    return digest && { digest, from: 'lfs' };
  }

  copyTo(sink: ByteSink, range: ByteRange, options: TransferOptions): Promise<void> {
    // The CDN has an entity tag of its own, which can differ between its hosts.
    const version = { totalBytes: this.totalBytes, etag: undefined, lastModified: undefined };
    const object = { version, request: () => this.#request() };
    return transferRange(this.#hub.egress, { object, range }, sink, options);
  }

  close(): void {}

  #request(): SourceRequest {
    const { repo, commit, path } = this.#place;
    const answer = new ResolveAnswer(this.#hub.urls, this.#place);
    const url = this.#hub.urls.file(repo, commit, path);
    return {
      ...this.#hub.request(url, { repo, revision: commit, path }),
      onHop: (hop) => answer.check(hop.url, hop.head),
      onRedirect: (link) => {
        const to = this.#hub.follow(link, repo);
        answer.checkRedirect(to);
        return to;
      },
    };
  }
}
