import { createHash } from 'node:crypto';

/** The id of a Git blob: SHA-1 over a header and the content. It identifies small files that the hub keeps in Git. */
export function gitBlobId(content: Uint8Array): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
}
