import { loadKeeperConfig } from '../config/keeper_config.js';
import { nativeLibrary } from '../config/native_paths.js';
import { wipe } from '../config/secrets.js';
import { WorkerError } from '../errors.js';
import { encodeFrame } from '../ipc/frame.js';
import { KeeperConnection } from '../keeper/connection.js';
import { type KeptEntry, readAllPages } from '../keeper/messages.js';
import { DescriptorLibrary } from '../vram/descriptor_library.js';
import { Poller } from '../vram/poller.js';
import { ExitError, exitStatus } from './exit_status.js';

const requestMs = 5000;

/** What a running keeper holds. @throws ConfigError, ExitError if the keeper does not answer */
export function listKept(): Promise<readonly KeptEntry[]> {
  return asking((keeper) =>
    readAllPages(async (cursor) => (await keeper.request((id) => encodeFrame('list', { id, cursor }))).frame.fields),
  );
}

/** Makes a running keeper drop all memory, or one allocation. Returns how many it dropped. @throws as `listKept` */
export function dropKept(allocationId: string | undefined): Promise<number> {
  return asking(async (keeper) => {
    const fields = allocationId === undefined ? {} : { allocation_id: allocationId };
    const { frame } = await keeper.request((id) => encodeFrame('drop', { id, ...fields }));
    return Number(frame.fields.find(([key]) => key === 'count')?.[1]);
  });
}

async function asking<T>(ask: (keeper: KeeperConnection) => Promise<T>): Promise<T> {
  const { keeperSocket: path, keeperToken } = await loadKeeperConfig(process.env);
  const poller = new Poller();
  const library = new DescriptorLibrary(nativeLibrary());
  try {
    const options = { path, token: keeperToken.toString(), identity: {}, library, poller, requestMs };
    const keeper = await KeeperConnection.open(options);
    try {
      return await ask(keeper);
    } finally {
      keeper.close();
    }
  } catch (cause) {
    if (!(cause instanceof WorkerError)) throw cause;
    throw new ExitError(exitStatus.unavailable, `WORKER_KEEPER_SOCKET is ${path}: ${cause.message}`, { cause });
  } finally {
    wipe(keeperToken);
    poller.close();
  }
}
