import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { messageOf } from '../../errors.js';
import { InputError } from '../command.js';

/** A file to upload. */
export interface LocalFile {
  readonly path: string;
  readonly name: string;
  readonly bytes: number;
}

/** Large reads keep one core busy with the hash instead of with system calls. */
export const readBytes = 1024 ** 2;

/** The size of a regular file with at least one byte. @throws InputError */
export async function localFile(path: string): Promise<LocalFile> {
  const found = await stat(path).catch((error: unknown) => {
    throw new InputError(messageOf(error));
  });
  if (!found.isFile()) throw new InputError(`${path} is not a regular file`);
  if (found.size === 0) throw new InputError(`${path} is empty`);
  return { path, name: basename(path), bytes: found.size };
}

/** The SHA-256 of a file. `onBytes` gets the bytes read so far. @throws InputError, and the reason of the signal */
export async function digestOf(
  { path, bytes }: LocalFile,
  onBytes: (count: number) => void,
  signal: AbortSignal,
): Promise<string> {
  const hash = createHash('sha256');
  let count = 0;
  const source = createReadStream(path, { highWaterMark: readBytes });
  try {
    await pipeline(
      source,
      async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) {
          hash.update(chunk);
          count += chunk.length;
          onBytes(count);
        }
      },
      { signal },
    );
  } catch (error) {
    signal.throwIfAborted();
    throw new InputError(messageOf(error));
  }
  if (count !== bytes) throw new InputError(`${path} changed while it was read`);
  return `sha256:${hash.digest('hex')}`;
}
