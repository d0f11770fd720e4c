import { filePath } from './parse.js';
import type { Setting } from './setting.js';

/** The settings of the process that keeps memory while the worker restarts. */
export const keeper = {
  keeperSocket: {
    name: 'WORKER_KEEPER_SOCKET',
    type: filePath,
    unset: 'a restart loads shards from their sources, and loses uploads',
    doc: 'The Unix socket of `vram-worker keep`, which keeps the memory of exportable shards while the worker restarts. Needs `WORKER_KEEPER_TOKEN_FILE`, and in the worker `WORKER_MANIFEST`. Its directory must belong to the user of both processes, and other users must not be able to write it.',
  },
  keeperTokenFile: {
    name: 'WORKER_KEEPER_TOKEN_FILE',
    type: filePath,
    unset: 'no keeper',
    doc: 'The file of the token between the worker and the keeper. A process that has it and runs as the same user can read and write all weights that the keeper holds.',
  },
} satisfies Record<string, Setting>;
