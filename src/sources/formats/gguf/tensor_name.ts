import type { HeaderReader } from '../header_reader.js';
import { InvalidFormat } from '../invalid_format.js';

/** GGML_MAX_NAME is 64 with the final NUL. */
const maxNameBytes = 63;

/** A name of 1 to 63 bytes. ggml compares names up to a NUL, so one with a NUL could equal another. */
export function readTensorName(reader: HeaderReader): string {
  const at = reader.at;
  const length = reader.u64();
  if (length === 0 || length > maxNameBytes) throw new InvalidFormat('gguf_tensor_name', at);
  const name = reader.text(length);
  if (name === undefined || name.includes('\0')) throw new InvalidFormat('gguf_tensor_name', at);
  return name;
}
