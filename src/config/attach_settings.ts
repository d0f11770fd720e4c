import { filePath, groupId, onOrOff, userIds } from './parse.js';
import type { Setting } from './setting.js';

/** The settings of the socket over which other processes attach shards. */
export const attach = {
  attachSocket: {
    name: 'WORKER_ATTACH_SOCKET',
    type: filePath,
    unset: 'no process can attach shards',
    doc: 'The Unix socket for processes that attach shards. Its directory must belong to the user of the worker, and other users must not be able to write it.',
  },
  attachGroup: {
    name: 'WORKER_ATTACH_GROUP',
    type: groupId,
    unset: 'no group',
    doc: 'The group whose members may use the attach socket: a number, or a name in `/etc/group`.',
  },
  attachUids: {
    name: 'WORKER_ATTACH_UIDS',
    type: userIds,
    unset: 'the user of the worker, and the members of `WORKER_ATTACH_GROUP`',
    doc: 'The users that may attach shards. File permissions must also let them use the socket.',
  },
  attachTokenFile: {
    name: 'WORKER_ATTACH_TOKEN_FILE',
    type: filePath,
    unset: 'no token',
    doc: 'The file of a token that each attaching process must send.',
  },
  verifyAfterLease: {
    name: 'WORKER_VERIFY_AFTER_LEASE',
    type: onOrOff,
    default: 'on',
    doc: 'If on, the worker verifies a shard after a process that attached it has ended, at most once a minute.',
  },
} satisfies Record<string, Setting>;
