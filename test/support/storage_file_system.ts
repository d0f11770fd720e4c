import { type FileSystem, nodeFileSystem } from '../../src/storage/fs.js';

/**
 * A file system whose calls fail when `fails` says so. A failed write has written half of its bytes, or another share. A failed
 * close has closed the descriptor, as on Linux (close(2)).
 */
export function failingFileSystem(fails: (name: keyof FileSystem) => boolean, writtenShare = 0.5): FileSystem {
  const wrapped = Object.entries(nodeFileSystem).map(([name, call]) => [
    name,
    async (...args: unknown[]) => {
      if (!fails(name as keyof FileSystem)) return (call as (...args: unknown[]) => unknown)(...args);
      if (name === 'write') await appendPart(args as [number, Buffer, number], writtenShare);
      if (name === 'fdatasync' || name === 'close') await (call as (...args: unknown[]) => unknown)(...args);
      throw new Error(`EIO: ${name}`);
    },
  ]);
  return Object.fromEntries(wrapped) as FileSystem;
}

/** The same file system, and the set of its open descriptors. */
export function countingFileSystem(fs: FileSystem): { readonly fs: FileSystem; readonly open: ReadonlySet<number> } {
  const descriptors = new Set<number>();
  const open: FileSystem['open'] = async (...args) => {
    const descriptor = await fs.open(...args);
    descriptors.add(descriptor);
    return descriptor;
  };
  const close: FileSystem['close'] = async (descriptor) => {
    descriptors.delete(descriptor);
    await fs.close(descriptor);
  };
  return { fs: { ...fs, open, close }, open: descriptors };
}

async function appendPart([descriptor, text, from]: [number, Buffer, number], share: number): Promise<void> {
  await nodeFileSystem.write(descriptor, text.subarray(0, from + Math.floor((text.length - from) * share)), from);
}
