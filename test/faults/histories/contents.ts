import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { lengths } from './steps.js';

export interface Content {
  readonly bytes: Buffer;
  /** Its path below the model directory. */
  readonly file: string;
  readonly digest: string;
  readonly tree: string;
}

/** The contents differ in the first byte. */
const seeds = [1, 0x5bd1e995];

const key = (bytes: number, content: number): string => `${bytes}-${content}`;

/** Every content that a history may commit, with its reference digests. Writes each below `directory`. */
export function writeContents(directory: string): (bytes: number, content: number) => Content {
  mkdirSync(directory, { recursive: true });
  const contents = new Map<string, Content>();
  for (const length of lengths) {
    for (const content of [0, 1]) {
      const bytes = patternBytes(length, seeds[content]);
      const file = key(length, content);
      writeFileSync(join(directory, file), bytes);
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      contents.set(file, { bytes, file, digest, tree: referenceTreeDigest(bytes) });
    }
  }
  return (bytes, content) => {
    const found = contents.get(key(bytes, content));
    if (found === undefined) throw new RangeError(`no content of ${bytes} bytes`);
    return found;
  };
}
