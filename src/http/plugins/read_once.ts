import { readFile } from 'node:fs/promises';

/** Reads a file at the first call, and keeps its content. After an error, the next call tries again. */
export function readOnce(file: string | URL): () => Promise<Buffer> {
  let content: Promise<Buffer> | undefined;
  return () => {
    content ??= readFile(file).catch((error: unknown) => {
      content = undefined;
      throw error;
    });
    return content;
  };
}
