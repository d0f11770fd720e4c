import type { HeaderReader } from '../header_reader.js';
import { InvalidFormat } from '../invalid_format.js';

/** Versions 2 and 3 have the same layout. A version with 16 low zero bits is one in the other byte order. */
export function checkVersion(reader: HeaderReader): void {
  const at = reader.at;
  const version = reader.u32();
  if (version !== 0 && version % 2 ** 16 === 0) throw new InvalidFormat('gguf_byte_order', at);
  if (version !== 2 && version !== 3) throw new InvalidFormat('gguf_version', at);
}
