import { invalid } from '../egress/fault.js';
import { InvalidXml, visitXml } from './xml.js';

/** One page of ListObjectsV2. */
export interface ListPage {
  readonly keys: readonly string[];
  /** The token of the next page; undefined on the last one. */
  readonly nextToken: string | undefined;
}

/** @throws SourceFault SOURCE_INVALID */
export async function parseListPage(body: Uint8Array): Promise<ListPage> {
  const keys: string[] = [];
  const fields = new Map<string, string>();
  let root = '';
  try {
    await visitXml(body, (path, text) => {
      if (path === 'ListBucketResult/Contents/Key') keys.push(text);
      else if (fieldPaths.has(path)) fields.set(path, text.trim());
      if (!path.includes('/')) root = path;
    });
  } catch (error) {
    if (error instanceof InvalidXml) throw invalid(`The source sent an invalid list: ${error.message}`);
    throw error;
  }
  if (root !== 'ListBucketResult') throw invalid('The source sent another document than a list');
  const isEncoded = fields.get('ListBucketResult/EncodingType') === 'url';
  return { keys: isEncoded ? keys.map(decodeKey) : keys, nextToken: nextTokenOf(fields) };
}

const fieldPaths = new Set([
  'ListBucketResult/EncodingType',
  'ListBucketResult/IsTruncated',
  'ListBucketResult/NextContinuationToken',
]);

function nextTokenOf(fields: ReadonlyMap<string, string>): string | undefined {
  const isTruncated = fields.get('ListBucketResult/IsTruncated');
  if (isTruncated === 'false') return undefined;
  const token = fields.get('ListBucketResult/NextContinuationToken') ?? '';
  // Servers that know only the first version of lists have a marker in place of the token.
  if (isTruncated !== 'true' || token === '') throw invalid('The source does not support ListObjectsV2');
  return token;
}

/** The encoding of forms: S3 writes a space as a plus sign. */
function decodeKey(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw invalid('The source sent a key with an invalid encoding');
  }
}
