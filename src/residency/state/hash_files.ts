import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FileCalls } from '../../storage/file_calls.js';
import { isMissing } from '../../storage/fs.js';
import { groupCount, hashBytes } from '../../vram/tree.js';

/** A file system that takes longer counts as hung. */
const timeoutSeconds = 5;

const setting = 'WORKER_MANIFEST';

/**
 * The group hashes of shards, a file for each allocation. They locate damage that happened while no worker ran. The tree digest
 * in the manifest is their checksum. They are not synced, because the memory does not survive the host either.
 */
export class HashFiles {
  readonly #directory: string;
  readonly #files = new FileCalls(timeoutSeconds);

  /** `manifest` is the path of the manifest. The files are in a directory next to it. */
  constructor(manifest: string) {
    this.#directory = `${manifest}.hashes`;
  }

  /** Writes the file before the manifest lists the shard. It has all its bytes, or does not exist. @throws the errors of the file system */
  async write(allocationId: string, hashes: Buffer): Promise<void> {
    const path = this.#path(allocationId);
    await this.#files.run(setting, async () => {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      const file = await open(`${path}.new`, 'w', 0o600);
      try {
        await file.writeFile(hashes);
      } finally {
        await file.close();
      }
      await rename(`${path}.new`, path);
    });
  }

  /** The hashes of a shard of `bytes` bytes. Undefined if the file cannot be read, or has another length. Never rejects. */
  async read(allocationId: string, bytes: number): Promise<Buffer | undefined> {
    const length = groupCount(bytes) * hashBytes;
    return this.#files
      .run(setting, async () => {
        const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
        const file = await open(this.#path(allocationId), flags);
        try {
          const stat = await file.stat();
          return stat.isFile() && stat.size === length ? await file.readFile() : undefined;
        } finally {
          await file.close();
        }
      })
      .catch(() => undefined);
  }

  /** Never rejects. `sweep` removes what remains. */
  async remove(allocationId: string): Promise<void> {
    const path = this.#path(allocationId);
    await this.#files.run(setting, () => rm(path, { force: true })).catch(() => undefined);
  }

  /** Removes all files but those of the given allocations. Returns how many were removed. @throws the errors of the file system */
  async sweep(allocationIds: ReadonlySet<string>): Promise<number> {
    return this.#files.run(setting, async () => {
      const names = await readdir(this.#directory).catch((error: unknown) => {
        if (isMissing(error)) return [];
        throw error;
      });
      const obsolete = names.filter((name) => !allocationIds.has(name));
      for (const name of obsolete) await rm(join(this.#directory, name), { force: true });
      return obsolete.length;
    });
  }

  #path(allocationId: string): string {
    return join(this.#directory, allocationId);
  }
}
