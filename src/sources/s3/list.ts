import { invalid, SourceFault } from '../egress/fault.js';
import type { TransferOptions } from '../egress/request.js';
import type { Bucket } from './bucket.js';
import { parseListPage } from './list_page.js';

/** More than the files of any model. S3 sends at most 1,000 keys a page; other servers may send fewer. */
const maxKeys = 10_000;
const maxPages = 100;

/** 1,000 keys of 1,024 bytes, encoded, with the other fields of their objects. */
const maxPageBytes = 8 * 1024 * 1024;

/**
 * The keys of all objects below a prefix, in the order of the pages.
 * @throws WorkerError SOURCE_UNSUPPORTED beyond 10,000 keys or 100 pages, and every other SOURCE_ code
 */
export async function listKeys(bucket: Bucket, prefix: string, options: TransferOptions): Promise<readonly string[]> {
  const keys = new Set<string>();
  const tokens = new Set<string>();
  let token: string | undefined;
  for (let pages = 0; pages < maxPages; pages += 1) {
    const query = { 'list-type': '2', 'encoding-type': 'url', 'max-keys': '1000', prefix, 'continuation-token': token };
    const { value } = await bucket.egress.bytes(bucket.request({ query }), maxPageBytes, options);
    const page = await parseListPage(value);
    for (const key of page.keys) {
      if (!key.startsWith(prefix)) throw invalid('The source listed an object outside the prefix');
      if (keys.has(key)) throw invalid('The source listed an object twice');
      keys.add(key);
    }
    if (keys.size > maxKeys) throw tooMany(`${maxKeys} objects`);
    if (page.nextToken === undefined) return [...keys];
    if (tokens.has(page.nextToken)) throw invalid('The source repeated a page of its list');
    tokens.add(page.nextToken);
    token = page.nextToken;
  }
  throw tooMany(`${maxPages} pages`);
}

const tooMany = (bound: string): SourceFault =>
  new SourceFault('SOURCE_UNSUPPORTED', `The list of the source has more than ${bound}: use a longer prefix`);
