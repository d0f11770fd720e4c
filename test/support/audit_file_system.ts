import { type FileSystem, nodeFileSystem } from '../../src/audit/log/fs.js';

/**
 * A file system whose calls fail when `fails` says so. A failed write has written half of its bytes. A failed close has
 * closed the descriptor, as on Linux (close(2)).
 */
export function failingFileSystem(fails: (name: keyof FileSystem) => boolean): FileSystem {
  const wrapped = Object.entries(nodeFileSystem).map(([name, call]) => [
    name,
    (...args: unknown[]) => {
      if (!fails(name as keyof FileSystem)) return (call as (...args: unknown[]) => unknown)(...args);
      if (name === 'writeSync') appendHalf(args as [number, Buffer, number]);
      if (name === 'fdatasyncSync' || name === 'closeSync') (call as (...args: unknown[]) => unknown)(...args);
      throw new Error(`EIO: ${name}`);
    },
  ]);
  return Object.fromEntries(wrapped) as FileSystem;
}

/** The same file system, and the set of its open descriptors. */
export function countingFileSystem(fs: FileSystem): { readonly fs: FileSystem; readonly open: ReadonlySet<number> } {
  const open = new Set<number>();
  const openSync: FileSystem['openSync'] = (...args) => {
    const descriptor = fs.openSync(...args);
    open.add(descriptor);
    return descriptor;
  };
  const closeSync: FileSystem['closeSync'] = (descriptor) => {
    open.delete(descriptor);
    fs.closeSync(descriptor);
  };
  return { fs: { ...fs, openSync, closeSync }, open };
}

const appendHalf = ([descriptor, text, from]: [number, Buffer, number]): void => {
  nodeFileSystem.writeSync(descriptor, text, from, Math.floor((text.length - from) / 2));
};
