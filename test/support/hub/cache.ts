import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { gitId, type HubFile, sha1, sha256 } from './repository.js';

/**
 * Writes a repository as huggingface_hub does (`hf_hub_download`): `refs`, `snapshots` with relative links, and `blobs`
 * named by the entity tag of the hub: the SHA-256 of a file in LFS, the id of the Git blob of another. Returns the commit.
 */
export function writeCache(cache: string, repo: string, files: readonly HubFile[]): string {
  const folder = join(cache, `models--${repo.replace('/', '--')}`);
  const commit = sha1(files.map(({ path }) => path).join());
  for (const file of files) {
    const { path, content, storage } = file;
    const blob = join(folder, 'blobs', storage === 'lfs' ? sha256(content) : gitId(content));
    const pointer = join(folder, 'snapshots', commit, path);
    write(blob, content);
    mkdirSync(dirname(pointer), { recursive: true });
    symlinkSync(relative(dirname(pointer), blob), pointer);
  }
  write(join(folder, 'refs/main'), commit);
  return commit;
}

function write(path: string, content: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}
