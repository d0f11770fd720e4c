import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The directory above this file that holds `tsconfig.json`. The compiled tests have another depth than their source. */
function findRoot(directory: string): string {
  return existsSync(join(directory, 'tsconfig.json')) ? directory : findRoot(dirname(directory));
}

/** The repository. */
export const root = findRoot(import.meta.dirname);
/** The folder of test sources, for files that the compiler does not copy. */
export const tests = join(root, 'test');
/** The built command `vram-worker`. */
export const main = join(root, 'dist', 'main.cjs');
/** The native libraries. */
export const native = join(root, 'cuda', 'build');
/** Digest vectors shared with the C++ tests. */
export const vectors = join(tests, 'vectors');
