import { type Digest, isDigest } from '../../seal/digest.js';

/** A line of sha256sum: digest, a space, a space or an asterisk, name. The name may be absent. */
const line = /^\\?([0-9a-fA-F]{64})(?: [ *](.+)|\s*)$/;
/** A line of `sha256sum --tag` and of BSD. */
const taggedLine = /^SHA256 \((.+)\) = ([0-9a-fA-F]{64})$/;

/**
 * The digest of a file in the text of its `FILE.sha256`. A line without a name counts if it is the only one.
 * Undefined if no line, or lines with different digests, belong to the file.
 */
export function sidecarDigest(text: string, fileName: string): Digest | undefined {
  const lines = text
    .split('\n')
    .map((each) => each.trimEnd())
    .filter((each) => each !== '');
  const digests = new Set<string>();
  for (const each of lines) {
    const [, tagged, taggedHex] = taggedLine.exec(each) ?? [];
    const [, plainHex, name] = line.exec(each) ?? [];
    const hex = taggedHex ?? plainHex;
    if (hex === undefined) return undefined;
    const listed = tagged ?? name;
    const isOwn = listed === undefined ? lines.length === 1 : baseName(listed) === fileName;
    if (isOwn) digests.add(`sha256:${hex.toLowerCase()}`);
  }
  const [digest] = digests;
  return digests.size === 1 && isDigest(digest) ? digest : undefined;
}

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
