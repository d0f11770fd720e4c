import { basename, dirname, join } from 'node:path';
import { type FileSystem, isMissing } from '../../storage/fs.js';

/** Numbers in names are padded to this width, so that names sort as numbers do. */
const digits = 12;

/** The name of a rotated file: the log's path, and the number of the file's last entry. */
export const rotatedPath = (path: string, lastSeq: number): string =>
  `${path}.${String(lastSeq).padStart(digits, '0')}`;

/** The rotated files of a log, the oldest first; empty if the directory does not exist. @throws other readdir errors */
export async function rotatedFiles(path: string, fs: Pick<FileSystem, 'readdir'>): Promise<string[]> {
  const directory = dirname(path);
  const prefix = `${basename(path)}.`;
  return (await namesIn(directory, fs))
    .filter((name) => name.startsWith(prefix) && /^[0-9]{12,}$/.test(name.slice(prefix.length)))
    .sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
    .map((name) => join(directory, name));
}

async function namesIn(directory: string, fs: Pick<FileSystem, 'readdir'>): Promise<string[]> {
  try {
    return await fs.readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
