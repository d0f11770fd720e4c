import type { FileFormat } from './model.js';

const gguf = Buffer.from('GGUF');

/** The characters that follow `{` in JSON: a space, a key, or the end. */
const afterBrace = new Set(Buffer.from(' \t\r\n"}'));

/**
 * The format of a file by its first bytes, of which 10 suffice. Safetensors has no magic: its JSON object starts at
 * byte 8. Two bytes are compared, so that random bytes are rarely taken for one.
 */
export function formatOf(bytes: Buffer): FileFormat['format'] {
  if (bytes.subarray(0, 4).equals(gguf)) return 'gguf';
  if (bytes[8] === 0x7b && afterBrace.has(bytes[9] ?? 0)) return 'safetensors';
  return 'unknown';
}
