/** A file as a check sees it: its name and its size in bytes. */
export interface FileSize {
  /** Relative to the model, with `/`. */
  readonly path: string;
  readonly bytes: number;
}

/** A file of a source whose ranges can be read. */
export interface RangedFile extends FileSize {
  /** Resolves with exactly `length` bytes at `offset`, or rejects. The range is inside the file. */
  read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array>;
}

/** A model to check. `F` is `RangedFile` outside the thread that checks, and `FileSize` inside it. */
export interface Model<F extends FileSize = RangedFile> {
  readonly files: readonly F[];
  /** The files `*.safetensors.index.json` of the model. */
  readonly indexes: readonly F[];
  /** A whole model: unknown formats are refused, and split sets must be complete. Otherwise each file is for itself. */
  readonly whole: boolean;
}

/** What the check of a file establishes. Nothing else is claimed of it. */
export interface FileFormat {
  readonly path: string;
  readonly format: 'gguf' | 'safetensors' | 'unknown';
  /** 0 for an unknown format. */
  readonly tensors: number;
  /** The bytes before the tensor data, without padding; 0 for an unknown format. */
  readonly headerBytes: number;
}

/** A range of one of the model's files: `file` counts its files, then its indexes. */
export interface FileRange {
  readonly file: number;
  readonly offset: number;
  readonly length: number;
}
