import { closeSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import { DescriptorLibrary } from '../../src/vram/descriptor_library.js';
import { DescriptorSocket } from '../../src/vram/descriptor_socket.js';
import { nativeDirectory } from './simulator.js';

const library = new DescriptorLibrary(join(nativeDirectory, 'libvram.so'));
const socketpair = koffi.load(null).func('int socketpair(int domain, int type, int protocol, _Out_ int *ends)');

/** Two connected Unix stream sockets. */
export function socketPair(): { ours: DescriptorSocket; peers: DescriptorSocket; close: () => void } {
  const ends = new Int32Array(2);
  if (socketpair(1, 1, 0, ends) !== 0) throw new Error('socketpair failed');
  const [ours, peers] = [...ends].map((end) => {
    const socket = new DescriptorSocket(library, end);
    closeSync(end);
    return socket;
  });
  if (ours === undefined || peers === undefined) throw new Error('socketpair returned no sockets');
  return {
    ours,
    peers,
    close: () => {
      ours.close();
      peers.close();
    },
  };
}
