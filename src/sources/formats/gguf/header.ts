import type { ParsedHeader } from '../checked_file.js';
import type { HeaderReader } from '../header_reader.js';
import { alignmentOf } from './alignment.js';
import { readCounts } from './counts.js';
import { readKeys } from './keys.js';
import { splitKeysOf } from './split_keys.js';
import { readTensors } from './tensors.js';
import { checkVersion } from './version.js';

/** Parses the header of a GGUF file from its first byte, and checks every rule. */
export function parseGguf(reader: HeaderReader): ParsedHeader {
  reader.skip(4);
  checkVersion(reader);
  const counts = readCounts(reader);
  const keys = readKeys(reader, counts.keys);
  const { tensorNames, dataEnd } = readTensors(reader, counts.tensors, alignmentOf(keys));
  return { tensorNames, headerBytes: reader.at, dataEnd, split: splitKeysOf(keys) };
}
