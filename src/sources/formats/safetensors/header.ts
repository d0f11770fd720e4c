import { isUtf8 } from 'node:buffer';
import type { ParsedHeader } from '../checked_file.js';
import type { HeaderReader } from '../header_reader.js';
import { InvalidFormat } from '../invalid_format.js';
import type { NameBudget } from '../names.js';
import { JsonReader } from './json_reader.js';
import { checkLayout, type Layout } from './layout.js';
import { readTensor } from './tensor.js';

/** MAX_HEADER_SIZE of the safetensors library. */
const maxHeaderBytes = 100_000_000;
const lengthBytes = 8;
const space = 0x20;

/** Parses the header of a safetensors file from its first byte, and checks every rule. */
export function parseSafetensors(reader: HeaderReader): ParsedHeader {
  const length = reader.u64();
  if (length > maxHeaderBytes || length > reader.leftBytes) throw new InvalidFormat('safetensors_header_length', 0);
  reader.skip(length);
  const header = reader.bytes.subarray(0, reader.at);
  if (!isUtf8(header.subarray(lengthBytes))) throw new InvalidFormat('safetensors_utf8', lengthBytes);
  const { tensorNames, layout } = readObject(header, reader.budget);
  checkLayout(layout, reader.fileBytes - reader.at);
  return { tensorNames, headerBytes: reader.at, dataEnd: reader.fileBytes };
}

function readObject(header: Buffer, budget: NameBudget): { tensorNames: ReadonlySet<string>; layout: Layout } {
  const json = new JsonReader(header, lengthBytes, {
    syntax: 'safetensors_json',
    duplicate: 'safetensors_duplicate_key',
    budget,
  });
  const layout: Layout = { starts: [], ends: [], ats: [] };
  const tensorNames = json.members((name, at) => {
    if (name === '__metadata__') return readMetadata(json);
    const { start, end } = readTensor(json, at);
    layout.starts.push(start);
    layout.ends.push(end);
    layout.ats.push(at);
  });
  checkTrailingText(header, json.at);
  tensorNames.delete('__metadata__');
  return { tensorNames, layout };
}

function readMetadata(json: JsonReader): void {
  if (json.next() !== 'object') throw new InvalidFormat('safetensors_metadata', json.at);
  json.members(() => {
    if (json.next() !== 'string') throw new InvalidFormat('safetensors_metadata', json.at);
    json.string();
  });
}

function checkTrailingText(header: Buffer, end: number): void {
  const other = header.subarray(end).findIndex((byte) => byte !== space);
  if (other !== -1) throw new InvalidFormat('safetensors_trailing_text', end + other);
}
