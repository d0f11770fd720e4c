import type { SplitKeys } from './gguf/split_keys.js';
import type { FileFormat } from './model.js';

/** What a header says, as the rules of the whole model need it. */
export interface ParsedHeader {
  readonly tensorNames: ReadonlySet<string>;
  readonly headerBytes: number;
  /** The end of the last tensor. Bytes after it must be zero. */
  readonly dataEnd: number;
  readonly split?: SplitKeys | undefined;
}

export interface CheckedFile {
  readonly path: string;
  readonly format: FileFormat['format'];
  /** Undefined for an unknown format. */
  readonly header: ParsedHeader | undefined;
}
