import { type FileSystem, nodeFileSystem } from '../../src/storage/fs.js';

/**
 * A file system whose calls fail when `fails` says so. A failed write has written half of its bytes. A failed close has
 * closed the descriptor, as on Linux (close(2)).
 */
export function failingFileSystem(fails: (name: keyof FileSystem) => boolean): FileSystem {
  const wrapped = Object.entries(nodeFileSystem).map(([name, call]) => [
    name,
    async (...args: unknown[]) => {
      if (!fails(name as keyof FileSystem)) return (call as (...args: unknown[]) => unknown)(...args);
      if (name === 'write') await appendHalf(args as [number, Buffer, number]);
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

async function appendHalf([descriptor, text, from]: [number, Buffer, number]): Promise<void> {
  await nodeFileSystem.write(descriptor, text.subarray(0, from + Math.floor((text.length - from) / 2)), from);
}
