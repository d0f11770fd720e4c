import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import t from 'tap';
import { hasEnded, peerCredentials, peerPidfd, processInode } from '../../src/vram/peer_process.js';
import { connectTo, UnixListener } from '../../src/vram/unix_socket.js';
import { temporaryDirectory } from '../support/temporary_directory.js';

const libc = koffi.load(null);
const getrlimit = libc.func('int getrlimit(int resource, uint64_t *limits)');
const setrlimit = libc.func('int setrlimit(int resource, const uint64_t *limits)');
const RLIMIT_NOFILE = 7;

/** Runs work while this process can open no more files. */
function withoutFreeDescriptors(work: () => void): void {
  const limits = new BigUint64Array(2);
  getrlimit(RLIMIT_NOFILE, limits);
  const [, hard = 0n] = limits;
  setrlimit(RLIMIT_NOFILE, new BigUint64Array([BigInt(lowestFree()), hard]));
  try {
    work();
  } finally {
    setrlimit(RLIMIT_NOFILE, limits);
  }
}

function lowestFree(): number {
  const number = openSync('/dev/null', 'r');
  closeSync(number);
  return number;
}

t.test('a peer is watched, and is not taken for one that cannot be watched if no descriptor is free', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const listener = UnixListener.bind(path);
  const client = connectTo(path);
  const connection = listener.accept() ?? -1;
  const { pid } = peerCredentials(connection);
  t.equal(pid, process.pid);

  withoutFreeDescriptors(() => t.throws(() => peerPidfd(connection, pid), { code: 'EMFILE' }));
  const pidfd = peerPidfd(connection, pid) ?? -1;
  const again = peerPidfd(connection, pid) ?? -1;
  t.notOk(hasEnded(pidfd));
  t.equal(processInode(pidfd), processInode(again));
  for (const descriptor of [pidfd, again, connection, client]) closeSync(descriptor);
  listener.close();
});
