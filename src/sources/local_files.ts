import type { RangedSource } from './ranged_source.js';

/** A directory of models on this host. */
export type LocalRoot = 'model_dir' | 'hf_cache';

/** An open local file. */
export interface LocalSource extends RangedSource {
  reopen(signal: AbortSignal): Promise<LocalSource>;
}

/**
 * Reads local files below the configured directories. A layer above implements it with libvram, whose threads make all
 * calls of the file system. Neither a link nor `..` leads outside the directory.
 */
export interface LocalFiles {
  /** Opens a regular file. @throws WorkerError NOT_FOUND, INVALID_PARAMS, MODEL_DIR_UNAVAILABLE */
  open(root: LocalRoot, path: string, signal: AbortSignal): Promise<LocalSource>;
  /** The content of a small text file. Throws as `open` does. */
  readText(root: LocalRoot, path: string, maxBytes: number, signal: AbortSignal): Promise<string>;
  /** The target of a symbolic link, as it is stored; undefined if the path is no link. Throws as `open` does. */
  readLink(root: LocalRoot, path: string, signal: AbortSignal): Promise<string | undefined>;
  /** The paths of all files and links below a folder, relative to it, sorted. Throws as `open` does. */
  list(root: LocalRoot, path: string, maxFiles: number, signal: AbortSignal): Promise<readonly string[]>;
}
