import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { FieldValue } from '../../src/ipc/frame.js';
import { KeeperClient } from '../../src/keeper/keeper_client.js';
import { KeeperServer } from '../../src/keeper/keeper_server.js';
import { encodeMemory, type KeptMemory } from '../../src/keeper/messages.js';
import type { DescriptorSocket } from '../../src/vram/descriptor_socket.js';
import { AttachClient, type Received } from './attach_client.js';
import { openDescriptors } from './open_descriptors.js';
import { nativeDirectory } from './simulator.js';
import { temporaryDirectory } from './temporary_directory.js';

export const keeperToken = 'k'.repeat(32);
export const libraryPath = join(nativeDirectory, 'libvram.so');

export interface TestKeeper {
  readonly server: KeeperServer;
  readonly path: string;
  /** The messages that the keeper logged. */
  readonly logged: string[];
}

/** A keeper in this process. */
export async function startKeeper(
  t: Test,
  { path = join(temporaryDirectory(t), 'keeper.sock'), maxDescriptors = 1000, holdSeconds = 3600 } = {},
): Promise<TestKeeper> {
  const logged: string[] = [];
  const log = (_level: string, message: string, fields: Readonly<Record<string, unknown>>) =>
    void logged.push(`${message} ${JSON.stringify(fields)}`);
  const token = Buffer.from(keeperToken);
  const server = await KeeperServer.open({ path, token, libraryPath, maxDescriptors, holdSeconds, log });
  t.teardown(() => server.close());
  return { server, path, logged };
}

/** A client of the worker `w`, unless named otherwise. */
export function keeperClient(t: Test, path: string, { workerId = 'w', token = keeperToken, waitMs = 60_000 } = {}) {
  const logged: string[] = [];
  const log = (_level: string, message: string) => void logged.push(message);
  const client = new KeeperClient({ path, token, workerId, libraryPath, waitMs, log });
  t.teardown(() => client.close());
  return Object.assign(client, { logged });
}

/** A client that speaks frames itself. */
export const rawClient = (path: string, fields: Readonly<Record<string, FieldValue>> = {}): Promise<AttachClient> =>
  AttachClient.open(path, { token: keeperToken, worker_id: 'w', ...fields });

const mebibyte = 1024 ** 2;

/** The names and sizes of memory of a number of parts. */
export const memoryOf = (allocationId: string, parts = 1): KeptMemory => ({
  allocationId,
  gpuUuid: 'GPU-0',
  layout: { bytes: parts * mebibyte, mappedBytes: parts * mebibyte, partBytes: mebibyte },
});

/** Memory of files, as a client hands it over. `send` counts how often. */
export function fileMemory(allocationId: string, parts = 1) {
  const memory = memoryOf(allocationId, parts);
  const sent = { count: 0 };
  const handOver = async (socket: DescriptorSocket, frame: Uint8Array): Promise<number> => {
    const bytes = withFiles(parts, (files) => socket.send(frame, files));
    if (bytes > 0) sent.count++;
    return bytes;
  };
  return { ...memory, allocation: { handOver }, sent };
}

/** Opens files for the call. */
export function withFiles<T>(count: number, use: (descriptors: readonly number[]) => T): T {
  const files = Array.from({ length: count }, () => openSync('/dev/null', 'r'));
  try {
    return use(files);
  } finally {
    for (const file of files) closeSync(file);
  }
}

/** Puts memory of files with a client that speaks frames, and returns the answer. */
export async function rawPut(client: AttachClient, memory: KeptMemory, files: number): Promise<Received> {
  const frame = encodeMemory('put', 7, memory);
  withFiles(files, (descriptors) => client.raw(frame, descriptors));
  return client.next();
}

/** How many descriptors of `/dev/null` this process has: the memory of these tests. */
export const openMemory = (): number => openDescriptors().filter((target) => target === '/dev/null').length;
