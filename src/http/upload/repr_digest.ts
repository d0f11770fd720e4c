import { type Digest, digestOf } from '../../seal/digest.js';
import { invalidParams } from '../errors/to_worker_error.js';

/** One member of the dictionary. Its parameters are ignored. */
const member = /^([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:; *[a-z*][a-z0-9_.*-]*(?:=[^,;"]*)?)*$/;

/**
 * The SHA-256 in a `Repr-Digest` header (RFC 9530 §3): a dictionary of algorithms and byte sequences (RFC 8941 §3.2,
 * §3.3.5). Other algorithms are ignored.
 * @throws WorkerError INVALID_PARAMS if the header is malformed
 */
export function reprDigest(header: string): Digest | undefined {
  let found: Digest | undefined;
  for (const part of header.split(',')) {
    const [, algorithm, base64] = member.exec(part.trim()) ?? [];
    if (algorithm === undefined || base64 === undefined)
      throw invalidParams('Repr-Digest is malformed: send sha-256=:BASE64:');
    if (algorithm !== 'sha-256') continue;
    const bytes = Buffer.from(base64, 'base64');
    if (bytes.length !== 32 || bytes.toString('base64').replaceAll('=', '') !== base64.replaceAll('=', '')) {
      throw invalidParams('Repr-Digest has an invalid sha-256 value: it must be 32 bytes in base64');
    }
    const digest = digestOf(bytes);
    if (found !== undefined && found !== digest) throw invalidParams('Repr-Digest has two different sha-256 values');
    found = digest;
  }
  return found;
}
