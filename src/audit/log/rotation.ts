import { basename, dirname, join } from 'node:path';
import type { Files } from './fs.js';

/** The number in a name is padded to so many digits, so that names sort as the entries do. */
const digits = 12;

/** The name of a file that is full: its own, and the number of its last entry. */
export const rotatedPath = (path: string, lastSeq: number): string =>
  `${path}.${String(lastSeq).padStart(digits, '0')}`;

/** The full files of a log, the oldest first; none where their directory is not there. @throws where it can't be read */
export function rotatedFiles(path: string, files: Pick<Files, 'readdirSync'>): string[] {
  const directory = dirname(path);
  const prefix = `${basename(path)}.`;
  return namesIn(directory, files)
    .filter((name) => name.startsWith(prefix) && /^[0-9]{12,}$/.test(name.slice(prefix.length)))
    .sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
    .map((name) => join(directory, name));
}

function namesIn(directory: string, files: Pick<Files, 'readdirSync'>): string[] {
  try {
    return files.readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
