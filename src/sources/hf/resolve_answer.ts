import { changed, invalid } from '../egress/fault.js';
import type { ResponseHead } from '../egress/response_head.js';
import type { HubUrls } from './hub_urls.js';
import type { TreeFile } from './tree.js';

/** A file of a commit. */
export interface CommitFile extends TreeFile {
  readonly commit: string;
}

/**
 * Checks the answers of the hub to one request for a file: the commit, the digest and the size must be those of the
 * list. Only headers of the endpoint count. The `ETag` of a CDN looks like a SHA-256, and is the hash of Xet.
 */
export class ResolveAnswer {
  readonly #urls: HubUrls;
  readonly #file: CommitFile;
  readonly #stated = new Set<string>();

  constructor(urls: HubUrls, file: CommitFile) {
    this.#urls = urls;
    this.#file = file;
  }

  /** Sees the head of each hop. @throws SourceFault SOURCE_CHANGED, SOURCE_INVALID */
  check(url: URL, head: ResponseHead): void {
    if (!this.#urls.isOwn(url) || head.status >= 400) return;
    const { commit, digest, bytes } = this.#file;
    this.#compare(head, 'X-Repo-Commit', commit);
    if (digest !== undefined) {
      this.#compare(head, 'X-Linked-Etag', digest.slice('sha256:'.length));
      this.#compare(head, 'X-Linked-Size', String(bytes));
    }
    if (head.status < 300) this.#require('X-Repo-Commit');
  }

  /** Sees the target of each redirect. The hub must say what another host will send. @throws SourceFault */
  checkRedirect(to: URL): void {
    if (this.#urls.isOwn(to)) return;
    this.#require('X-Repo-Commit');
    if (this.#file.digest === undefined) return;
    this.#require('X-Linked-Etag');
    this.#require('X-Linked-Size');
  }

  #compare(head: ResponseHead, name: string, expected: string): void {
    const value = head.get(name.toLowerCase());
    if (value === undefined) return;
    if (textOfTag(value) !== expected) throw changed(`The hub states another ${name} of the file than in its list`);
    this.#stated.add(name);
  }

  #require(name: string): void {
    if (!this.#stated.has(name)) throw invalid(`The hub did not send ${name}, so the version of the file is unknown`);
  }
}

/** The text of an entity tag, without quotes and without the mark of a weak tag. */
const textOfTag = (value: string): string =>
  value
    .trim()
    .replace(/^(?:W\/)?"(.*)"$/, '$1')
    .toLowerCase();
