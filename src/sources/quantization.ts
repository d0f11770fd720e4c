import { WorkerError } from '../errors.js';

/** The files of a model that a client chose. */
export interface ChosenFiles {
  readonly files?: readonly string[] | undefined;
  readonly quantization?: string | undefined;
}

/**
 * The patterns or paths of a client, for `selectFiles`; undefined for the whole model. A quantization means the GGUF files
 * that have it in their names, else in the names of their folders.
 * @throws WorkerError INVALID_PARAMS, SOURCE_NOT_FOUND
 */
export function patternsOf(
  { files, quantization }: ChosenFiles,
  paths: readonly string[],
): readonly string[] | undefined {
  if (quantization === undefined) return files;
  if (files !== undefined) throw new WorkerError('INVALID_PARAMS', 'The source has both files and quantization');
  const models = paths.filter((path) => /\.gguf$/i.test(path));
  const byName = models.filter((path) => hasQuantization(path.slice(path.lastIndexOf('/') + 1), quantization));
  const found = byName.length > 0 ? byName : models.filter((path) => hasQuantization(path, quantization));
  if (found.length > 0) return found;
  throw new WorkerError('SOURCE_NOT_FOUND', `No GGUF file of the model has the quantization ${quantization}`);
}

/**
 * Whether a name has a quantization as a whole word, in upper or lower case: `F16` is not in `model-BF16.gguf`, and `Q4_K`
 * is not in `model-Q4_K_M.gguf`. An underscore before it may separate words, but one after it continues the word.
 */
export function hasQuantization(name: string, quantization: string): boolean {
  const [text, word] = [name.toLowerCase(), quantization.toLowerCase()];
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    const [before = '', after = ''] = [text[at - 1], text[at + word.length]];
    if (!/[a-z0-9]/.test(before) && !/[a-z0-9_]/.test(after)) return true;
  }
  return false;
}
