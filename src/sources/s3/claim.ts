import { type Digest, digestOf } from '../../seal/digest.js';
import { invalid } from '../egress/fault.js';
import type { ResponseHead } from '../egress/response_head.js';
import type { DigestClaim } from '../ranged_source.js';

/**
 * What S3 states of a whole object: its SHA-256 checksum of the type FULL_OBJECT, or `sha256` in the metadata of its
 * writer. A composite checksum is a hash of hashes, and no claim.
 * @throws SourceFault SOURCE_INVALID for a malformed value, or two that differ
 */
export function claimOf(head: ResponseHead): DigestClaim | undefined {
  const checksum = checksumOf(head);
  const metadata = metadataOf(head);
  if (checksum !== undefined && metadata !== undefined && checksum !== metadata) {
    throw invalid('The checksum of the object and its metadata sha256 differ');
  }
  if (checksum !== undefined) return { digest: checksum, from: 'checksum' };
  return metadata === undefined ? undefined : { digest: metadata, from: 'metadata' };
}

function checksumOf(head: ResponseHead): Digest | undefined {
  const text = head.get('x-amz-checksum-sha256');
  if (text === undefined || head.get('x-amz-checksum-type') !== 'FULL_OBJECT' || /-[0-9]+$/.test(text))
    return undefined;
  return base64Digest(text) ?? refuse('x-amz-checksum-sha256');
}

function metadataOf(head: ResponseHead): Digest | undefined {
  const text = head.get('x-amz-meta-sha256')?.trim();
  if (text === undefined) return undefined;
  const hex = /^(?:sha256:)?([0-9a-f]{64})$/i.exec(text)?.[1];
  return hex === undefined ? (base64Digest(text) ?? refuse('x-amz-meta-sha256')) : `sha256:${hex.toLowerCase()}`;
}

function base64Digest(text: string): Digest | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === 32 && bytes.toString('base64') === text ? digestOf(bytes) : undefined;
}

function refuse(header: string): never {
  throw invalid(`The source sent a malformed ${header}`);
}
